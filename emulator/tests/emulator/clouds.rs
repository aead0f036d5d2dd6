//! The clouds: the same keys under every cloud's hosts, and tokens that are accepted in their own cloud only.

use akv_emulator::clouds::{self, Cloud, PUBLIC};
use serde_json::json;

use crate::harness::{Azure, Response, VAULT};
use crate::signer::V2;

/// Returns the hosts of a cloud's vaults with the resources of their tokens.
fn vaults(cloud: &Cloud) -> Vec<(String, String)> {
    let suffixes = [Some(cloud.vault_suffix), cloud.managed_hsm_suffix].into_iter().flatten();
    suffixes.map(|suffix| (format!("emulator.{suffix}"), format!("https://{suffix}"))).collect()
}

async fn token_of(azure: &Azure, authority: &str, resource: &str) -> Response {
    let info = azure.info();
    let scope = format!("{resource}/.default");
    let fields = [
        ("client_id", info.client_id.as_str()),
        ("client_secret", &info.client_secret),
        ("scope", scope.as_str()),
    ];
    Response::to(azure.entra_at(authority, V2, &fields)).await
}

async fn key(azure: &Azure, host: &str, token: &str) -> Response {
    Response::to(azure.anonymous(host, "GET", "/keys/k8s").bearer_auth(token)).await
}

#[tokio::test]
async fn every_cloud_has_the_key_under_its_own_hosts_for_tokens_of_its_own() {
    let azure = Azure::start().await;
    let version = azure.info().key_versions[0].clone();
    for cloud in clouds::ALL {
        for (host, resource) in vaults(cloud) {
            for authority in cloud.authority_hosts {
                let token = token_of(&azure, authority, &resource).await.ok();
                let found = key(&azure, &host, token["access_token"].as_str().unwrap()).await.ok();
                assert_eq!(found["key"]["kid"], json!(format!("https://{host}/keys/k8s/{version}")));
            }
        }
    }
}

#[tokio::test]
async fn the_challenge_names_the_cloud_s_own_authority_and_resource() {
    let azure = Azure::start().await;
    for cloud in clouds::ALL {
        for (host, resource) in vaults(cloud) {
            let response = Response::to(azure.anonymous(&host, "GET", "/keys/k8s")).await;
            let expected = format!(
                "Bearer authorization=\"https://{}/{}\", resource=\"{resource}\"",
                cloud.authority_host(),
                azure.info().tenant_id
            );
            assert_eq!(response.header("www-authenticate"), expected);
        }
    }
}

#[tokio::test]
async fn a_token_of_one_cloud_is_neither_good_in_another_nor_given_there() {
    let azure = Azure::start().await;
    let token = azure.token(VAULT).await;
    for cloud in clouds::ALL.into_iter().filter(|cloud| **cloud != PUBLIC) {
        let refused = key(&azure, &cloud.vault_host(), &token).await;
        let found = "found: https://vault.azure.net.";
        assert!(refused.status == 401 && refused.message().ends_with(found), "{}", refused.text);
        assert_eq!(token_of(&azure, cloud.authority_host(), VAULT).await.aadsts(), 500_011);
    }
}

#[tokio::test]
async fn hosts_that_no_cloud_has_are_not_served() {
    let azure = Azure::start().await;
    assert_eq!(azure.info().vault_host_in("vault.azure.cn"), "emulator.vault.azure.cn");
    for host in
        ["other.vault.azure.cn", "emulator.managedhsm.local.azurestack.external", "emulator.vault.azure.de"]
    {
        let request = azure.anonymous(&azure.info().vault_host, "GET", "/keys").header("host", host);
        assert_eq!(Response::to(request).await.status, 404, "{host}");
    }
}
