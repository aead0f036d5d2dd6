//! Proxy mode: plain HTTP, the service in a header, the vault's host in the path.

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::harness::{Azure, Response, VAULT};
use crate::signer::{Signer, TYPE, V2};

fn to_proxy(azure: &Azure, method: &str, path: &str, target: &str) -> RequestBuilder {
    let url = format!("{}/{path}", azure.info().proxy_url);
    azure.http.request(method.parse().unwrap(), url).header("x-azure-proxy-target", target)
}

fn form(azure: &Azure, target: &str, form: String) -> RequestBuilder {
    to_proxy(azure, "POST", &format!("{}/{V2}", azure.info().tenant_id), target)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form + "&grant_type=client_credentials&scope=https://vault.azure.net/.default")
}

#[tokio::test]
async fn the_vault_is_behind_its_host_and_names_keys_without_the_proxy() {
    let azure = Azure::start().await;
    let (info, token) = (azure.info(), azure.token(VAULT).await);
    for host in [info.vault_host.clone(), info.vault_host.to_uppercase()] {
        let path = format!("{host}/keys/k8s//encrypt?api-version=2016-10-01");
        let body = json!({ "alg": "RSA-OAEP-256", "value": "AA" }).to_string();
        let request = to_proxy(&azure, "POST", &path, "KeyVault").body(body);
        let encrypted = Response::to(request.bearer_auth(&token)).await.ok();
        let kid = format!("https://{}/keys/k8s/{}", info.vault_host, info.key_versions[0]);
        assert_eq!(encrypted["kid"], json!(kid));
    }
    let hsm = format!("{}/keys?api-version=7.4", info.managed_hsm_host);
    let challenged = Response::to(to_proxy(&azure, "GET", &hsm, "KeyVault")).await;
    assert!(challenged.header("www-authenticate").contains("https://managedhsm.azure.net"));
    assert_eq!(azure.control_ok("GET", "/stats", Value::Null).await["proxied"], json!(3));
}

#[tokio::test]
async fn tokens_come_through_it_for_secrets_and_for_assertions() {
    let azure = Azure::start().await;
    let (info, signer) = (azure.info(), Signer::registered(&azure));
    let secret = format!("client_id={}&client_secret={}", info.client_id, info.client_secret);
    let assertion = signer.assertion(&azure);
    let assertion =
        format!("client_id={}&client_assertion_type={TYPE}&client_assertion={assertion}", info.client_id);
    for proof in [secret, assertion] {
        Response::to(form(&azure, "AzureActiveDirectory", proof)).await.ok();
    }
    assert_eq!(azure.emulator.stats().proxied, 2);
}

#[tokio::test]
async fn a_header_that_is_missing_or_does_not_fit_is_refused() {
    let azure = Azure::start().await;
    let (tenant, keys) =
        (azure.info().tenant_id.clone(), format!("{}/keys?api-version=7.4", azure.info().vault_host));
    for (path, target) in [
        (keys.clone(), ""),
        (keys.clone(), "AzureActiveDirectory"),
        (keys.clone(), "keyvault"),
        (format!("{tenant}/{V2}"), "KeyVault"),
        ("other.vault.azure.net/keys".to_owned(), "KeyVault"),
        ("keys".to_owned(), "KeyVault"),
    ] {
        assert_eq!(Response::to(to_proxy(&azure, "GET", &path, target)).await.status, 400, "{path} {target}");
    }
    let bare = azure.http.get(format!("{}/{keys}", azure.info().proxy_url));
    assert_eq!(Response::to(bare).await.status, 400);
    assert_eq!(azure.emulator.stats().proxied, 0);
}
