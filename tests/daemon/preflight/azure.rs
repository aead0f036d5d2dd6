//! What is wrong on the way to the key: the network, the clock, the identity, the key itself.

use std::time::{SystemTime, UNIX_EPOCH};

use akv_emulator::{FaultSet, Faults, KeyPatch, RecoveryLevel};
use serde_json::json;

use super::{args_without, checked, checked_in, checked_with};
use crate::harness::Vault;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn patch(vault: &Vault, patch: KeyPatch) {
    let info = vault.emulator.info();
    vault.emulator.update_key(&info.key_name, &info.key_versions[0], patch).unwrap();
}

#[tokio::test]
async fn a_wrong_secret_is_explained_by_its_number() {
    let vault = Vault::start().await;
    let info = vault.emulator.info();
    let file =
        json!({ "tenantId": info.tenant_id, "aadClientId": info.client_id, "aadClientSecret": "wr0ng" });
    let wrong = checked(&vault, &[vault.azure_json(&file.to_string())]).await;
    wrong.only("token", "AADSTS7000215", "aadClientSecret");
    assert_eq!((wrong.result("vault-tls"), wrong.result("round-trip-v2")), ("passed", "skipped"));
    assert!(!wrong.report.to_string().contains("wr0ng"));
}

#[tokio::test]
async fn a_missing_root_is_named_by_who_issued_the_certificate() {
    let vault = Vault::start().await;
    let untrusted = checked_with(args_without(&vault, "--ca-file")).await;
    assert_eq!((untrusted.code, untrusted.with_result("failed")), (1, vec!["issuer-tls", "vault-tls"]));
    let check = untrusted.check("vault-tls");
    assert!(check["cause"].as_str().unwrap().contains("issued by CN="), "{check:#}");
    assert!(check["fix"].as_str().unwrap().contains("--ca-file"), "{check:#}");
    assert_eq!((untrusted.result("vault-tcp"), untrusted.result("token")), ("passed", "skipped"));
}

#[tokio::test]
async fn a_machine_without_any_root_is_told_to_install_some() {
    let vault = Vault::start().await;
    let nowhere = ["SSL_CERT_FILE", "SSL_CERT_DIR"].map(|name| (name, "/absent".to_owned()));
    let bare = checked_in(args_without(&vault, "--ca-file"), nowhere.to_vec()).await;
    assert_eq!((bare.code, bare.with_result("failed")), (1, vec!["issuer-tls", "vault-tls"]));
    let fix = bare.check("issuer-tls")["fix"].as_str().unwrap();
    assert!(fix.contains("install") && fix.contains("/etc/ssl/certs") && fix.contains("--ca-file"), "{fix}");

    let own = checked_in(args_without(&vault, ""), nowhere.to_vec()).await;
    assert_eq!((own.code, own.result("issuer-tls")), (0, "passed"), "{:#}", own.report);
}

#[tokio::test]
async fn a_slow_entra_id_is_not_taken_for_broken_tls() {
    let vault = Vault::start().await;
    let slow = FaultSet { latency_ms: 15_000, ..FaultSet::default() };
    vault.emulator.set_faults(Faults { entra: slow, ..Faults::default() });
    checked(&vault, &[]).await.only("issuer-tls", "no answer within 5 s", "may be slow");
}

#[tokio::test]
async fn a_vault_whose_name_has_no_address_is_told_apart_from_one_that_takes_no_connection() {
    let vault = Vault::start().await;
    let info = vault.emulator.info().clone();
    let connect = format!("--connect-to={}=", info.vault_host);
    let args = [args_without(&vault, &connect), vec!["--keyvault-name=no-such-vault-here".into()]].concat();
    let nameless = checked_with(args).await;
    nameless.only("vault-name", "no-such-vault-here", "--keyvault-name");
    assert_eq!((nameless.result("token"), nameless.result("vault-tcp")), ("passed", "skipped"));

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = taken.local_addr().unwrap();
    drop(taken);
    let closed = checked(&vault, &[format!("{connect}{nobody}")]).await;
    closed.only("vault-tcp", "refused", "firewall");
}

#[tokio::test]
async fn a_key_version_that_does_not_exist_is_looked_for_with_a_command() {
    let vault = Vault::start().await;
    let missing = checked(&vault, &[format!("--key-version={}", "0".repeat(32))]).await;
    missing.only("key", "KeyNotFound", "az keyvault key list-versions");
}

#[tokio::test]
async fn a_disabled_an_expired_and_an_early_key_are_told_apart() {
    let vault = Vault::start().await;
    patch(&vault, KeyPatch { enabled: Some(false), ..KeyPatch::default() });
    checked(&vault, &[]).await.only("key-enabled", "disabled", "--enabled true");
    patch(&vault, KeyPatch { enabled: Some(true), exp: Some(now() - 60), ..KeyPatch::default() });
    checked(&vault, &[]).await.only("key-validity", "expired", "--expires");
    patch(&vault, KeyPatch { exp: Some(now() + 3600), ..KeyPatch::default() });
    let soon = checked(&vault, &[]).await;
    assert_eq!((soon.code, soon.result("key-validity")), (0, "warned"));
    patch(&vault, KeyPatch { nbf: Some(now() + 1800), ..KeyPatch::default() });
    checked(&vault, &[]).await.only("key-validity", "not valid before", "--not-before");
}

#[tokio::test]
async fn an_operation_that_the_key_does_not_allow_is_named_with_the_whole_list_to_set() {
    let vault = Vault::start().await;
    let operations = Some(vec!["encrypt".into(), "sign".into()]);
    patch(&vault, KeyPatch { operations, ..KeyPatch::default() });
    checked(&vault, &[]).await.only("key-operations", "does not allow decrypt", "--ops encrypt sign decrypt");
    let wrap = checked(&vault, &["--key-operations=wrap".into()]).await;
    wrap.only(
        "key-operations",
        "does not allow wrapKey and unwrapKey",
        "--ops encrypt sign wrapKey unwrapKey",
    );
}

#[tokio::test]
async fn a_key_that_is_gone_for_good_when_deleted_is_a_warning_and_a_protected_one_is_none() {
    let vault = Vault::start().await;
    let set = |level| {
        patch(&vault, KeyPatch { recovery_level: Some(level), ..KeyPatch::default() });
    };
    set(RecoveryLevel::Purgeable);
    let gone = checked(&vault, &[]).await;
    assert_eq!((gone.code, gone.with_result("warned")), (0, vec!["key-recovery"]), "{:#}", gone.report);
    let check = gone.check("key-recovery");
    assert!(check["cause"].as_str().unwrap().contains("gone for good"), "{check:#}");
    assert!(check["fix"].as_str().unwrap().contains("enableSoftDelete=true"), "{check:#}");

    set(RecoveryLevel::Recoverable);
    let safe = checked(&vault, &[]).await;
    assert_eq!((safe.code, safe.result("key-recovery")), (0, "passed"), "{:#}", safe.report);
    assert!(safe.with_result("warned").is_empty(), "{:#}", safe.report);
}

#[tokio::test]
async fn a_clock_that_is_behind_fails_beyond_five_minutes_and_is_a_warning_before() {
    let vault = Vault::start().await;
    vault.emulator.set_clock_offset(400);
    checked(&vault, &[]).await.only("clock", "behind Azure's", "timedatectl");
    vault.emulator.set_clock_offset(60);
    let little = checked(&vault, &[]).await;
    assert_eq!((little.code, little.result("clock")), (0, "warned"), "{:#}", little.report);
    assert!(little.check("clock")["fix"].as_str().unwrap().starts_with("timedatectl"));
}

#[tokio::test]
async fn a_managed_identity_is_looked_for_at_imds_and_a_wrong_one_is_explained() {
    let vault = Vault::start().await;
    let args = args_without(&vault, "--config-file-path");
    let imds = vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST", vault.emulator.info().imds_url.clone())];
    let config = format!("--config-file-path={}", vault.folder().join("azure-msi.json").display());
    let well = checked_in([args.clone(), vec![config]].concat(), imds.clone()).await;
    assert_eq!((well.code, well.result("issuer-tcp"), well.result("issuer-tls")), (0, "passed", "skipped"));
    let file = json!({ "useManagedIdentityExtension": true, "userAssignedIdentityID": "0".repeat(8) + "-0000-0000-0000-000000000000" });
    let wrong = [args, vec![vault.azure_json(&file.to_string())]].concat();
    let wrong = checked_in(wrong, imds).await;
    wrong.only("token", "IMDS refuses", "az vm identity assign");
}
