//! Credentials and trust roots that change under a running daemon.

use akv_emulator::{Application, ClientSecret};
use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Daemon, Load, Vault};

/// Replaces `azure.json` of the application by an atomic rename.
fn write_secret(vault: &Vault, secret: &str) {
    let info = vault.emulator.info();
    let file =
        json!({ "tenantId": info.tenant_id, "aadClientId": info.client_id, "aadClientSecret": secret });
    let path = vault.dir.path().join("azure.json");
    std::fs::write(path.with_extension("new"), file.to_string()).unwrap();
    std::fs::rename(path.with_extension("new"), path).unwrap();
}

fn accept(vault: &Vault, secrets: &[&str]) {
    let client_secrets = Some(secrets.iter().map(|secret| ClientSecret::from(*secret)).collect());
    vault.emulator.set_application(Application { client_secrets, ..Application::default() }).unwrap();
}

async fn daemon(vault: &Vault, interval: &str) -> Daemon {
    write_secret(vault, "first");
    accept(vault, &["first"]);
    let config = format!("--config-file-path={}", vault.dir.path().join("azure.json").display());
    vault.daemon().arg(config).arg(format!("--reload-interval={interval}")).healthy().await
}

#[tokio::test]
async fn a_secret_is_rotated_twice_under_2000_calls_and_none_fails() {
    let vault = Vault::start().await;
    let mut daemon = daemon(&vault, "100ms").await;
    let load = Load::start(&daemon, 8);
    let mut reloads = 0;
    for (secret, before) in [("second", "first"), ("third", "second")] {
        accept(&vault, &[before, secret]);
        write_secret(&vault, secret);
        reloads += 1;
        daemon.logs_times("Credential reloaded", reloads).await;
        accept(&vault, &[secret]);
        vault.emulator.revoke_tokens(); // those of the old secret die with it, and here even the new one
        load.more_round_trips(250).await; // 1,000 calls
    }
    let (served, failures) = load.stop().await;
    assert!(served >= 500 && failures.is_empty(), "{served} served, {failures:?}");
    assert!(daemon.metrics().await.contains(r#"azure_kms_reloads_total{result="success"} 2"#));
}

#[tokio::test]
async fn a_secret_that_entra_refuses_is_not_taken_over_and_the_old_one_stays() {
    let vault = Vault::start().await;
    let mut daemon = daemon(&vault, "100ms").await;
    write_secret(&vault, "Wr0ngS3cret");
    daemon.logs("Reload failed, the old credential stays").await;
    assert!(daemon.log().contains("AADSTS7000215") && !daemon.log().contains("Wr0ngS3cret"));
    daemon.client().round_trips().await.unwrap();
    assert_eq!(daemon.get("/healthz").await.0, 200);
    accept(&vault, &["first", "Wr0ngS3cret"]); // it becomes valid: no file changes, the retry finds out
    daemon.logs("Credential reloaded").await;
}

#[tokio::test]
async fn an_identity_without_rights_on_the_key_is_not_taken_over() {
    let vault = Vault::start().await;
    let mut daemon = daemon(&vault, "100ms").await;
    let info = vault.emulator.info().clone();
    let nothing = [(info.system_assigned_client_id, Default::default())].into();
    vault.emulator.set_permissions(nothing);
    let path = vault.dir.path().join("azure.json");
    std::fs::write(path, r#"{"useManagedIdentityExtension":true}"#).unwrap();
    daemon.logs("Reload failed, the old credential stays").await;
    daemon.client().round_trips().await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_broken_or_gone_keeps_the_old_credential() {
    let vault = Vault::start().await;
    let mut daemon = daemon(&vault, "100ms").await;
    let path = vault.dir.path().join("azure.json");
    for (broken, reason) in
        [(Some("{\"aadClientSecret\": \"Pl4nted"), "line 1, column"), (None, "No such file")]
    {
        match broken {
            Some(broken) => std::fs::write(&path, broken).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        daemon.logs(reason).await;
        daemon.client().round_trips().await.unwrap();
    }
    assert!(daemon.log().contains("Reload failed, the old credential stays"));
    assert!(!daemon.log().contains("Pl4nted"));
    write_secret(&vault, "first");
    daemon.logs("Credential reloaded").await;
}

#[tokio::test]
async fn sighup_reloads_at_once() {
    let vault = Vault::start().await;
    let mut daemon = daemon(&vault, "1h").await;
    accept(&vault, &["first", "second"]);
    write_secret(&vault, "second");
    daemon.signal(Signal::HUP);
    daemon.logs("Credential reloaded").await;
    daemon.client().round_trips().await.unwrap();
}

#[tokio::test]
async fn a_panic_of_the_reload_actor_loses_no_change() {
    let vault = Vault::start().await;
    let mut daemon = daemon(&vault, "100ms").await;
    daemon.inject("reload", "panic").await;
    daemon.logs("\"Actor started\" actor=\"reload\" generation=2").await;
    accept(&vault, &["first", "second"]);
    write_secret(&vault, "second");
    daemon.logs("Credential reloaded").await;
}

#[tokio::test]
async fn a_changed_trust_root_is_taken_over_if_the_vault_can_still_be_reached() {
    let vault = Vault::start().await;
    let good = std::fs::read(&vault.emulator.info().ca_file).unwrap();
    let roots = vault.dir.path().join("roots.pem");
    std::fs::write(&roots, &good).unwrap();
    let args = std::fs::read_to_string(vault.folder().join("args")).unwrap();
    let args = args.lines().filter(|line| !line.starts_with("--ca-file")).map(str::to_owned).collect();
    let mut daemon = vault
        .daemon_with(args)
        .arg(format!("--ca-file={}", roots.display()))
        .arg("--reload-interval=100ms")
        .healthy()
        .await;
    std::fs::write(&roots, include_str!("../certificates/only-certificate.pem")).unwrap();
    daemon.logs("Reload failed, the old credential stays").await;
    daemon.client().round_trips().await.unwrap();
    std::fs::write(&roots, [&good[..], include_bytes!("../certificates/only-certificate.pem")].concat())
        .unwrap();
    daemon.logs("Credential reloaded").await;
    daemon.client().round_trips().await.unwrap();
}
