//! Both KMS APIs, byte for byte as the Go plugin speaks them.

use azure_kms_provider::proto::{v1beta1, v2};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tonic::Code;

use crate::harness::{Vault, annotation};

#[tokio::test]
async fn v1_round_trips_and_its_ciphertext_is_key_vault_s_base64url_text() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().listening().await;
    let mut client = daemon.client();
    let version = v1beta1::VersionRequest { version: "v1beta1".into() };
    let version = client.v1.version(version).await.unwrap().into_inner();
    assert_eq!(version.version, "v1beta1");
    assert!(!version.runtime_name.is_empty() && !version.runtime_version.is_empty());
    let encrypted = client.encrypt_v1(b"a data key").await.unwrap();
    assert_eq!(URL_SAFE_NO_PAD.decode(&encrypted).unwrap().len(), 256);
    assert_eq!(client.decrypt_v1(&encrypted).await.unwrap(), b"a data key");
}

#[tokio::test]
async fn v2_round_trips_with_the_go_plugin_s_key_id_version_and_annotations() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().listening().await;
    let mut client = daemon.client();
    let status = client.status().await.unwrap();
    assert_eq!((status.version.as_str(), status.healthz.as_str()), ("v2beta1", "ok"));
    assert_eq!(status.key_id, vault.key_id());
    let encrypted = client.encrypt_v2(b"a seed").await.unwrap();
    assert_eq!(encrypted.key_id, status.key_id);
    assert_eq!(encrypted.ciphertext.len(), 342);
    let text = |name| annotation(&encrypted.annotations, name);
    assert_eq!(encrypted.annotations.len(), 5);
    assert_eq!(text("version.azure.akv.io"), "1");
    assert_eq!(text("algorithm.azure.akv.io"), "RSA-OAEP-256");
    assert_eq!(text("x-ms-keyvault-region.azure.akv.io"), "westeurope");
    assert_eq!(text("x-ms-request-id.azure.akv.io").len(), 36);
    assert!(text("date.azure.akv.io").ends_with(" GMT"));
    assert_eq!(client.decrypt_v2(encrypted).await.unwrap(), b"a seed");
}

#[tokio::test]
async fn what_the_openshift_fork_wrote_is_read_too() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().listening().await;
    let mut client = daemon.client();
    let inner = URL_SAFE_NO_PAD.encode(b"a seed");
    let mut encrypted = client.encrypt_v2(inner.as_bytes()).await.unwrap();
    encrypted.ciphertext = URL_SAFE_NO_PAD.decode(&encrypted.ciphertext).unwrap();
    assert_eq!(client.decrypt_v2(encrypted).await.unwrap(), b"a seed");
}

#[tokio::test]
async fn v2_decrypt_refuses_another_key_id_and_other_annotations() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().arg("--health-interval=1h").healthy().await;
    let mut client = daemon.client();
    let encrypted = client.encrypt_v2(b"a seed").await.unwrap();
    vault.emulator.reset_stats();
    let changes: [fn(&mut v2::EncryptResponse); 5] = [
        |encrypted| encrypted.key_id = "0".repeat(64),
        |encrypted| encrypted.annotations.clear(),
        |encrypted| drop(encrypted.annotations.insert("version.azure.akv.io".into(), b"2".to_vec())),
        |encrypted| drop(encrypted.annotations.insert("algorithm.azure.akv.io".into(), b"RSA1_5".to_vec())),
        |encrypted| encrypted.ciphertext = b"foreign".to_vec(),
    ];
    for change in changes {
        let mut changed = encrypted.clone();
        change(&mut changed);
        assert_eq!(client.decrypt_v2(changed).await.unwrap_err().code(), Code::InvalidArgument);
    }
    assert_eq!(vault.emulator.stats().calls("decrypt"), 0);
}

#[tokio::test]
async fn a_ciphertext_of_another_key_is_an_invalid_argument() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().listening().await;
    let mut client = daemon.client();
    // in v2: the padding of v1 (RSA1_5) fits one foreign ciphertext in some 100,000 by chance
    let mut encrypted = client.encrypt_v2(b"x").await.unwrap();
    encrypted.ciphertext = URL_SAFE_NO_PAD.encode([7; 256]).into_bytes();
    let error = client.decrypt_v2(encrypted).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("BadParameter"), "{}", error.message());
}

#[tokio::test]
async fn an_answer_under_another_key_version_is_never_handed_out() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    let mut client = daemon.client();
    let mut faults = akv_emulator::Faults::default();
    faults.vault.wrong_kid = true;
    vault.emulator.set_faults(faults);
    for error in [client.encrypt_v1(b"x").await.unwrap_err(), client.encrypt_v2(b"x").await.unwrap_err()] {
        assert_eq!(error.code(), Code::FailedPrecondition);
    }
}

#[tokio::test]
async fn refusals_of_key_vault_have_their_own_codes_and_leak_nothing() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    let mut client = daemon.client();
    let info = vault.emulator.info().clone();
    let only = |operations: &[&str]| {
        let operations = operations.iter().map(|name| (*name).to_owned()).collect();
        akv_emulator::Permissions::from([(info.client_id.clone(), operations)])
    };
    vault.emulator.set_permissions(only(&["get"]));
    let refused = client.encrypt_v2(b"x").await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("ForbiddenByRbac"), "{}", refused.message());
    for secret in [&info.tenant_id, &info.client_id, &info.vault_host] {
        assert!(!refused.message().contains(secret), "{}", refused.message());
    }
    vault.emulator.set_permissions(akv_emulator::Permissions::default());
    let disabled = akv_emulator::KeyPatch { enabled: Some(false), ..Default::default() };
    vault.emulator.update_key(&info.key_name, &info.key_versions[0], disabled).unwrap();
    assert_eq!(client.encrypt_v2(b"x").await.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn an_identity_that_may_only_encrypt_and_decrypt_is_enough() {
    let vault = Vault::start().await;
    let operations = ["encrypt", "decrypt"].map(str::to_owned).into();
    vault.emulator.set_permissions([(vault.emulator.info().client_id.clone(), operations)].into());
    let daemon = vault.daemon().healthy().await;
    daemon.client().round_trips().await.unwrap();
}
