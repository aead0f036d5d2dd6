//! Nothing secret is in the log, at the highest verbosity, whatever happens.

use crate::canaries;
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

#[tokio::test]
async fn no_token_secret_or_plaintext_is_logged_even_at_the_highest_verbosity() {
    for json in [false, true] {
        let vault = Vault::start().await;
        let info = vault.emulator.info().clone();
        let mut daemon =
            vault.daemon().arg("-v=10").arg(format!("--log-format-json={json}")).listening().await;
        let mut client = daemon.client();
        client.status().await.unwrap();
        canaries::use_everywhere(&vault, &mut client).await;
        daemon.inject("key-vault", "panic").await;
        daemon.logs_times("Actor started", 5).await; // four at the start
        daemon.terminate();
        daemon.exit().await;
        let log = daemon.log();
        for secret in canaries::secrets(&info) {
            assert!(!log.contains(&secret), "{secret} is in the log:\n{log}");
        }
    }
}
