//! Service principals and managed identities.

use crate::harness::Vault;

async fn principal_of(vault: &Vault, config: String) -> Vec<String> {
    let imds = vault.emulator.info().imds_url.clone();
    let start = vault.daemon().arg(config).env("AZURE_POD_IDENTITY_AUTHORITY_HOST", imds);
    // IMDS must never go through a proxy; here none answers
    let daemon = start.env("HTTP_PROXY", "http://127.0.0.1:9").healthy().await;
    daemon.client().round_trips().await.unwrap();
    vault.emulator.stats().by_principal.into_keys().collect()
}

#[tokio::test]
async fn the_system_assigned_identity_is_used_through_imds_and_past_any_proxy() {
    let vault = Vault::start().await;
    let config = format!("--config-file-path={}", vault.folder().join("azure-msi.json").display());
    let expected = vault.emulator.info().system_assigned_client_id.clone();
    assert_eq!(principal_of(&vault, config).await, [expected]);
}

#[tokio::test]
async fn a_user_assigned_identity_is_chosen_by_client_id_or_by_resource_id() {
    for by_resource in [false, true] {
        let vault = Vault::start().await;
        let info = vault.emulator.info().clone();
        let id =
            if by_resource { info.user_assigned_resource_id } else { info.user_assigned_client_id.clone() };
        let yaml = format!("useManagedIdentityExtension: true\nuserAssignedIdentityID: {id}\n");
        let config = vault.azure_json(&yaml);
        assert_eq!(principal_of(&vault, config).await, [info.user_assigned_client_id]);
    }
}

#[tokio::test]
async fn a_managed_hsm_has_its_own_host_resource_and_key_id() {
    let vault = Vault::start().await;
    let info = vault.emulator.info().clone();
    let connect = format!("--connect-to={}={}", info.managed_hsm_host, info.vault_addr);
    let daemon = vault.daemon().arg("--managed-hsm").arg(connect).healthy().await;
    daemon.client().round_trips().await.unwrap();
    let key_id = daemon.client().status().await.unwrap().key_id;
    assert_eq!(key_id, crate::harness::key_id(&info, &info.managed_hsm_host));
    assert_ne!(key_id, vault.key_id());
}

#[tokio::test]
async fn a_challenge_may_name_a_scope_instead_of_a_resource() {
    let vault = Vault::start().await;
    vault.emulator.set_challenge(akv_emulator::Challenge::Scope);
    let daemon = vault.daemon().healthy().await;
    daemon.client().round_trips().await.unwrap();
}

#[tokio::test]
async fn a_challenge_for_another_domain_gets_no_token() {
    let vault = Vault::start().await;
    vault.emulator.set_challenge(akv_emulator::Challenge::Foreign);
    let daemon = vault.daemon().listening().await;
    let error = daemon.client().encrypt_v2(b"x").await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::Unauthenticated);
    assert!(error.message().contains("another resource"), "{}", error.message());
    assert!(vault.emulator.stats().by_principal.is_empty(), "no call with a token was made");
}

#[tokio::test]
async fn a_wrong_secret_is_reported_by_its_number_and_the_daemon_stays_up() {
    let vault = Vault::start().await;
    let info = vault.emulator.info().clone();
    let json = format!(
        r#"{{"tenantId":"{}","aadClientId":"{}","aadClientSecret":"wr0ng-s3cr3t"}}"#,
        info.tenant_id, info.client_id
    );
    let mut daemon = vault.daemon().arg(vault.azure_json(&json)).listening().await;
    daemon.logs("AADSTS7000215").await;
    let status = daemon.client().until_status(false).await;
    assert_eq!(status.key_id, vault.key_id());
    assert!(status.healthz.contains("AADSTS7000215"), "{}", status.healthz);
    let (code, body) = daemon.get("/healthz").await;
    assert!(code == 500 && body.contains("[-]token failed: reason withheld"), "{body}");
    assert!(!daemon.log().contains("wr0ng"));
}
