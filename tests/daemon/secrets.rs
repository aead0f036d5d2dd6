//! Nothing secret is in the log, at the highest verbosity, whatever happens.

use akv_emulator::{FaultSet, Faults};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::harness::Vault;

/// Certificate and federated token, at the start and at a reload.
#[tokio::test]
async fn no_password_assertion_or_federated_token_is_logged_either() {
    let vault = Vault::start().await;
    let info = vault.emulator.info().clone();
    let pfx = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificates/modern.pfx");
    let file = |password: &str| {
        serde_json::json!({ "tenantId": info.tenant_id, "aadClientId": info.client_id,
                            "aadClientCertPath": pfx, "aadClientCertPassword": password })
        .to_string()
    };
    let config = vault.azure_json(&file("p4ss w0rd"));
    let mut daemon = vault.daemon().arg(config).arg("-v=10").arg("--reload-interval=100ms").listening().await;
    daemon.logs("AADSTS700027").await; // the certificate is not registered: the assertion went out all the same
    vault.azure_json(&file("Wr0ngP4ss"));
    daemon.logs("aadClientCertPassword").await;
    let token = vault.dir.path().join("token");
    std::fs::write(&token, "eyJmZWRlcmF0ZWQ.t0ken").unwrap();
    let federated = serde_json::json!({ "tenantId": info.tenant_id, "aadClientId": info.client_id,
        "useFederatedWorkloadIdentityExtension": true, "aadFederatedTokenFile": token });
    vault.azure_json(&federated.to_string());
    daemon.logs("AADSTS50027").await;
    let log = daemon.log();
    for secret in ["p4ss w0rd", "Wr0ngP4ss", "eyJ", "t0ken", "Bearer "] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}

const PLAINTEXT: &[u8] = b"pl4int3xt-0f-a-data-key-32-byte!";

#[tokio::test]
async fn no_token_secret_or_plaintext_is_logged_even_at_the_highest_verbosity() {
    for json in [false, true] {
        let vault = Vault::start().await;
        let info = vault.emulator.info().clone();
        let mut daemon =
            vault.daemon().arg("-v=10").arg(format!("--log-format-json={json}")).listening().await;
        let mut client = daemon.client();
        client.status().await.unwrap();
        let sealed = client.encrypt_v2(PLAINTEXT).await.unwrap();
        client.decrypt_v2(sealed).await.unwrap();
        vault.emulator.revoke_tokens();
        client.encrypt_v1(PLAINTEXT).await.unwrap();
        for status in [400, 401, 403, 503] {
            let failing = FaultSet { error_rate: 1.0, status: Some(status), ..FaultSet::default() };
            vault.emulator.set_faults(Faults { vault: failing.clone(), entra: failing, ..Faults::default() });
            client.encrypt_v2(PLAINTEXT).await.unwrap_err();
        }
        daemon.inject("key-vault", "panic").await;
        daemon.logs_times("Actor started", 5).await; // four at the start
        daemon.terminate();
        daemon.exit().await;
        let log = daemon.log();
        let encoded = URL_SAFE_NO_PAD.encode(PLAINTEXT);
        let plaintext = std::str::from_utf8(PLAINTEXT).unwrap();
        for secret in [&info.client_secret, &info.client_secret[..13], plaintext, &encoded, "eyJ", "Bearer "]
        {
            assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
        }
    }
}
