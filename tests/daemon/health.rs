//! healthz, livez, readyz and metrics.

use kms_testkit::Http;
use serde_json::Value;

use crate::harness::Vault;

#[tokio::test]
async fn the_endpoints_have_kubernetes_format_and_livez_leaves_azure_out() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    for path in ["/healthz", "/readyz", "/livez", "/healthz/key-vault", "/readyz/token", "/livez/actors"] {
        assert_eq!(daemon.get(path).await, (200, "ok".into()), "{path}");
    }
    let (_, body) = daemon.get("/healthz?verbose").await;
    assert_eq!(body, "[+]actors ok\n[+]grpc-socket ok\n[+]token ok\n[+]key-vault ok\nhealthz check passed\n");
    let (_, body) = daemon.get("/livez?verbose").await;
    assert_eq!(body, "[+]actors ok\n[+]grpc-socket ok\nlivez check passed\n");
    assert_eq!(daemon.get("/livez/token").await.0, 404);
}

#[tokio::test]
async fn healthz_costs_no_call_to_key_vault() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().arg("--health-interval=1h").healthy().await;
    daemon.client().status().await.unwrap();
    vault.emulator.reset_stats();
    for _ in 0..20 {
        assert_eq!(daemon.get("/healthz").await.0, 200);
        assert_eq!(daemon.client().status().await.unwrap().healthz, "ok");
    }
    assert_eq!(vault.emulator.stats().calls("encrypt"), 0);
}

#[tokio::test]
async fn the_path_of_healthz_is_configurable() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().arg("--healthz-path=/health/kms").healthy().await;
    assert_eq!(daemon.get("/health/kms").await.0, 200);
    assert_eq!(daemon.get("/healthz").await.0, 404);
}

#[tokio::test]
async fn a_probe_that_takes_longer_than_healthz_timeout_has_failed() {
    let vault = Vault::start().await;
    let slow = akv_emulator::FaultSet { latency_ms: 2_000, ..Default::default() };
    vault.emulator.set_faults(akv_emulator::Faults { vault: slow, ..Default::default() });
    let mut daemon = vault.daemon().arg("--healthz-timeout=200ms").listening().await;
    daemon.logs("\"Unhealthy\" err=\"key-vault: ").await;
    assert_eq!((daemon.get("/healthz").await.0, daemon.get("/livez").await.0), (500, 200));
}

#[tokio::test]
async fn both_apis_are_probed_in_turn() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    let both = async {
        loop {
            let metrics = daemon.metrics().await;
            let probed = |api| {
                metrics.contains(&format!(r#"requests_total{{api="{api}",method="decrypt",code="OK"}}"#))
            };
            if probed("v1") && probed("v2") {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await; // between polls
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), both).await.unwrap();
}

#[tokio::test]
async fn metrics_are_named_by_convention_and_hold_no_error_text() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    daemon.client().decrypt_v1(b"foreign").await.unwrap_err();
    let metrics = daemon.metrics().await;
    for line in [
        r#"kms_request_count{operation="grpc_decrypt",status="error"}"#,
        r#"kms_request_count{operation="encrypt",status="success"}"#,
        r#"azure_kms_requests_total{api="v1",method="decrypt",code="INVALID_ARGUMENT"}"#,
        r#"azure_kms_key_vault_calls_total{operation="encrypt",result="success"}"#,
        r#"azure_kms_actor_restarts_total{actor="token",reason="panic"} 0"#,
        "azure_kms_key_vault_throttled_total 0",
        "azure_kms_token_expiry_timestamp_seconds 1",
        "azure_kms_build_info{",
        "# EOF",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    assert!(!metrics.contains("error_message"));
}

#[tokio::test]
async fn each_check_of_healthz_is_a_gauge_in_kubernetes_words_that_follows_it() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    let gauge = |check: &str| format!(r#"kubernetes_healthcheck{{name="{check}",type="healthz"}}"#);
    for check in ["actors", "grpc-socket", "token", "key-vault"] {
        assert_eq!(daemon.metric(&gauge(check)).await, 1, "{check}");
    }
    let refused = [(vault.emulator.info().client_id.clone(), [].into())].into();
    vault.emulator.set_permissions(refused);
    daemon.until_metric(&gauge("key-vault"), |healthy| healthy == 0).await;
    assert_eq!((daemon.get("/healthz/key-vault").await.0, daemon.metric(&gauge("token")).await), (500, 1));
}

#[tokio::test]
async fn statusz_and_flagz_are_kubernetes_pages_without_secrets() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().arg("--proxy-address=user:s3cr3t@proxy").healthy().await;
    let (status, page) = daemon.get("/statusz").await;
    assert!(status == 200 && page.starts_with("\nazure-kms-provider statusz\nWarning: "), "{page}");
    assert!(page.contains("\nUp: 0 hr 00 min "), "{page}");
    assert!(page.ends_with("\nPaths: /healthz /livez /readyz /statusz /flagz\n"), "{page}");
    let (status, page) = daemon.get("/flagz").await;
    assert!(status == 200 && page.starts_with("\nazure-kms-provider flagz\nWarning: "), "{page}");
    for line in ["health-interval=200ms", "proxy-address=CLASSIFIED", "max-in-flight=64"] {
        assert!(page.lines().any(|shown| shown == line), "{line} is not in\n{page}");
    }
    assert!(!page.contains("s3cr3t"));
}

#[tokio::test]
async fn statusz_and_flagz_are_kubernetes_objects_for_who_asks_for_one_without_secrets() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().arg("--proxy-address=user:s3cr3t@proxy").healthy().await;
    let asked = async |path: &str, accept: &str| {
        let url = format!("http://{}{path}", daemon.healthz_addr());
        let (status, body) = Http::new().request_accepting("GET", &url, accept).await.unwrap();
        assert!(!body.contains("s3cr3t"));
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    for (path, kind) in [("/statusz", "Statusz"), ("/flagz", "Flagz")] {
        for version in ["v1beta1", "v1alpha1"] {
            let (status, object) =
                asked(path, &format!("application/json;v={version};g=config.k8s.io;as={kind}")).await;
            assert_eq!((status, &object["kind"]), (200, &kind.into()));
            assert_eq!(object["apiVersion"], format!("config.k8s.io/{version}"));
        }
        let (status, refusal) = asked(path, "application/json").await;
        assert_eq!((status, &refusal["code"]), (406, &406.into()));
        assert!(refusal["message"].as_str().unwrap().contains(&format!("as={kind}")), "{refusal}");
    }
    let (_, flags) = asked("/flagz", "application/json;v=v1beta1;g=config.k8s.io;as=Flagz").await;
    assert_eq!(flags["flags"]["proxy-address"], "CLASSIFIED");
    let (_, ours) = asked("/statusz?format=json", "application/json").await;
    assert_eq!(ours["key"]["key_id"], vault.key_id());
}

#[tokio::test]
async fn the_json_of_statusz_names_every_actor_the_key_and_the_token() {
    let vault = Vault::start().await;
    let mut daemon = vault.daemon().healthy().await;
    daemon.inject("reload", "panic").await;
    daemon.logs_times("\"Actor started\" actor=\"reload\"", 2).await;
    let (_, body) = daemon.get("/statusz?format=json").await;
    let status: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status["key"]["key_id"], vault.key_id());
    assert!(status["token"]["expires"].is_string() && status["key_vault"]["last_success"].is_string());
    assert!(status["key_vault"]["breaker_open"].is_null(), "{body}");
    let names: Vec<&str> =
        status["actors"].as_array().unwrap().iter().map(|actor| actor["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["token", "key-vault", "health", "reload"]);
    let reload = &status["actors"][3];
    assert_eq!((&reload["restarts"], &reload["last_reason"]), (&1.into(), &"panic".into()));
}
