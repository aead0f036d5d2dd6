//! `preflight --encryption-config`: each way in which kube-apiserver's file and the flags disagree.

use serde_json::Value;

use crate::harness::run;

const HEAD: &str = "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n\
                    - resources: [secrets]\n  providers:\n";

/// A run without Azure: only what the file itself says is looked at.
async fn compared(providers: &str) -> Value {
    compared_file(&format!("{HEAD}{providers}")).await
}

async fn compared_file(content: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("encryption.yaml");
    std::fs::write(&path, content).unwrap();
    let args = [
        "preflight".to_owned(),
        "--output=json".into(),
        "--keyvault-name=kv-1".into(),
        "--key-name=k8s".into(),
        format!("--key-version={}", "0".repeat(32)),
        "--config-file-path=/absent/azure.json".into(),
        "--listen-addr=unix:///run/kms/azure.socket".into(),
        format!("--encryption-config={}", path.display()),
    ];
    let run = move || run(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let (_, stdout, stderr) = tokio::task::spawn_blocking(run).await.unwrap();
    serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}\n{stderr}"))
}

/// Returns the checks of the file that failed or warned, as `result name: cause`.
fn trouble(report: &Value) -> Vec<String> {
    let checks = report["checks"].as_array().unwrap().iter();
    let ours = checks.filter(|check| check["name"].as_str().unwrap().starts_with("encryption-config"));
    let bad = ours.filter(|check| matches!(check["result"].as_str().unwrap(), "failed" | "warned"));
    let text = |check: &Value, field: &str| check[field].as_str().unwrap().to_owned();
    bad.map(|check| format!("{} {}: {}", text(check, "result"), text(check, "name"), text(check, "cause")))
        .collect()
}

fn kms(version: &str, name: &str, more: &str) -> String {
    format!(
        "  - kms: {{apiVersion: {version}, name: {name}, endpoint: 'unix:///run/kms/azure.socket'{more}}}\n"
    )
}

#[tokio::test]
async fn a_file_that_agrees_passes_every_check() {
    let report = compared(&(kms("v2", "azure", ", timeout: 3s") + "  - identity: {}\n")).await;
    assert_eq!(trouble(&report), Vec::<String>::new(), "{report:#}");
    let names = report.to_string();
    for name in ["endpoint", "api-version", "order", "cachesize", "names", "timeout"] {
        assert!(names.contains(&format!("encryption-config-{name}")), "{name}");
    }
}

#[tokio::test]
async fn each_disagreement_has_its_check_and_its_cause() {
    let other = "  - kms: {apiVersion: v2, name: other, endpoint: 'unix:///run/kms/other.socket'}\n";
    let no_version = "  - kms: {name: a, endpoint: 'unix:///run/kms/azure.socket'}\n";
    let two_slashes = "  - kms: {apiVersion: v2, name: a, endpoint: 'unix://run/kms/azure.socket'}\n";
    let first = |provider: &str| format!("{provider}{}", kms("v2", "a", ""));
    for (providers, expected) in [
        (
            other.to_owned(),
            "failed encryption-config-endpoint: no kms provider has the endpoint unix:///run/kms/azure.socket",
        ),
        (two_slashes.to_owned(), "failed encryption-config-endpoint: no kms provider"),
        ("  - identity: {}\n".to_owned(), "failed encryption-config-endpoint: there is no kms provider"),
        (kms("v1", "a", ""), "warned encryption-config-api-version: v1"),
        (no_version.to_owned(), "warned encryption-config-api-version: absent"),
        (kms("v3", "a", ""), "failed encryption-config-api-version: \"v3\""),
        (first("  - identity: {}\n"), "failed encryption-config-order: resources[0]: identity is first"),
        (
            first("  - aescbc: {keys: [{name: k, secret: c2VjcmV0}]}\n"),
            "failed encryption-config-order: resources[0]: aescbc",
        ),
        (first(other), "warned encryption-config-order: resources[0]: kms \"other\" is first"),
        (kms("v2", "a", ", cachesize: 100"), "failed encryption-config-cachesize: kms \"a\": v2 must not"),
        (kms("v2", "'a:b'", ""), "failed encryption-config-names: kms \"a:b\""),
        (kms("v2", "a", "").repeat(2), "failed encryption-config-names: two kms providers"),
        (kms("v2", "''", ""), "failed encryption-config-names: a kms provider has no name"),
        (kms("v2", "a", ", timeout: 0s"), "failed encryption-config-timeout: kms \"a\""),
    ] {
        let found = trouble(&compared(&providers).await);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{providers}{found:?}");
    }
    let found = trouble(&compared(&kms("v1", "a", ", cachesize: 0")).await);
    assert!(found.iter().any(|found| found.starts_with("failed encryption-config-cachesize")), "{found:?}");
}

#[tokio::test]
async fn what_kube_apiserver_would_not_read_is_refused_by_field_and_without_its_keys() {
    let secret = "  - aescbc: {keys: [{name: k, secret: c2VjcmV0}]}\n    kms: {}\n";
    for (file, expected) in [
        ("kind: Pod\n".to_owned(), "there is no field"),
        (HEAD.replace("apiserver.config", "config") + &kms("v2", "a", ""), "apiVersion must be"),
        (format!("{HEAD}{}", kms("v2", "a", ", cacheSize: 1")), "cacheSize"),
        (format!("{HEAD}{secret}"), "exactly one of"),
        (format!("{HEAD}  - kms: [\n"), "line "),
    ] {
        let file = if expected == "there is no field" { format!("{file}spec: {{}}\n") } else { file };
        let report = compared_file(&file).await;
        let found = trouble(&report);
        assert!(found.len() == 1 && found[0].contains(expected), "{file}{found:?}");
        assert!(
            found[0].starts_with("failed encryption-config: ") && !report.to_string().contains("c2VjcmV0")
        );
    }
}
