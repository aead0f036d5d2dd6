//! The managed HSM: the same keys at another host.

use akv_emulator::{Challenge, PermissionModel, Permissions};
use serde_json::{Value, json};

use crate::harness::{Azure, Response, VAULT};

const HSM: &str = "https://managedhsm.azure.net";

async fn call(azure: &Azure, method: &str, path: &str, body: Value, resource: &str) -> Response {
    let request = azure.anonymous(&azure.info().managed_hsm_host, method, path);
    Response::to(request.bearer_auth(azure.token(resource).await).body(body.to_string())).await
}

async fn get(azure: &Azure, path: &str) -> Value {
    call(azure, "GET", path, Value::Null, HSM).await.ok()
}

#[tokio::test]
async fn it_holds_the_vault_s_keys_under_its_own_name() {
    let azure = Azure::start().await;
    let (of_vault, of_hsm) = (azure.get("/keys/k8s").await.ok(), get(&azure, "/keys/k8s").await);
    assert_eq!(of_hsm["key"]["n"], of_vault["key"]["n"]);
    assert_eq!((&of_hsm["key"]["kty"], &of_vault["key"]["kty"]), (&json!("RSA-HSM"), &json!("RSA")));
    let kid = format!("https://emulator.managedhsm.azure.net/keys/k8s/{}", azure.info().key_versions[0]);
    assert_eq!(of_hsm["key"]["kid"], json!(kid));
    let body =
        json!({ "alg": "RSA-OAEP-256", "value": azure.perform("encrypt", "AAEC").await.ok()["value"] });
    let decrypted = call(&azure, "POST", "/keys/k8s/decrypt", body, HSM).await.ok();
    assert_eq!((&decrypted["kid"], &decrypted["value"]), (&json!(kid), &json!("AAEC")));
}

#[tokio::test]
async fn keys_made_there_are_hsm_keys() {
    let azure = Azure::start().await;
    for kty in ["RSA", "RSA-HSM"] {
        let made = call(&azure, "POST", "/keys/made/create", json!({ "kty": kty }), HSM).await.ok();
        assert_eq!(made["key"]["kty"], json!("RSA-HSM"));
    }
    let page = get(&azure, "/keys/made/versions?api-version=7.4&maxresults=1").await;
    let link = page["nextLink"].as_str().unwrap();
    assert!(link.starts_with("https://emulator.managedhsm.azure.net:443/keys/made/versions?"), "{link}");
    let listed = page["value"][0]["kid"].as_str().unwrap();
    assert!(listed.starts_with("https://emulator.managedhsm.azure.net/keys/made/"), "{listed}");
}

#[tokio::test]
async fn a_401_has_the_challenge_for_its_resource_and_no_body() {
    let azure = Azure::start().await;
    let challenged = || async {
        let response =
            Response::to(azure.anonymous(&azure.info().managed_hsm_host, "GET", "/keys/k8s")).await;
        assert_eq!(
            (response.status, response.text.as_str(), response.header("content-length")),
            (401, "", "0")
        );
        response.header("www-authenticate").split_once(", ").unwrap().1.to_owned()
    };
    assert_eq!(challenged().await, "resource=\"https://managedhsm.azure.net\"");
    azure.emulator.set_challenge(Challenge::Scope);
    assert_eq!(challenged().await, "scope=\"https://managedhsm.azure.net/.default\"");
}

#[tokio::test]
async fn a_token_is_good_only_at_the_host_that_it_is_for() {
    let azure = Azure::start().await;
    let wrong = call(&azure, "GET", "/keys/k8s", Value::Null, VAULT).await;
    assert_eq!((wrong.status, wrong.text.as_str()), (401, ""));
    let request = azure.anonymous(&azure.info().vault_host, "GET", "/keys/k8s");
    let response = Response::to(request.bearer_auth(azure.token(HSM).await)).await;
    assert!(response.message().ends_with("found: https://managedhsm.azure.net."), "{}", response.text);
}

#[tokio::test]
async fn its_headers_and_rights_are_its_own() {
    let azure = Azure::start().await;
    azure.emulator.set_permissions(Permissions::from([(azure.info().client_id.clone(), Default::default())]));
    let response = call(&azure, "GET", "/keys/k8s", Value::Null, HSM).await;
    assert!(response.message().contains("Action: 'Microsoft.KeyVault/managedHsm/keys/read/action'"));
    for name in ["x-ms-server-latency", "x-ms-build-version", "x-ms-keyvault-region", "x-ms-request-id"] {
        assert!(response.headers.contains_key(name), "{name}");
    }
    assert_eq!(response.header("content-security-policy"), "default-src 'self'");
    assert_eq!(response.header("x-frame-options"), "SAMEORIGIN");
    assert!(!response.headers.contains_key("x-ms-keyvault-service-version"));
}

#[tokio::test]
async fn it_has_roles_and_no_access_policies() {
    let azure = Azure::start().await;
    azure.emulator.set_permissions(Permissions::from([(azure.info().client_id.clone(), Default::default())]));
    azure.emulator.set_permission_model(PermissionModel::AccessPolicy);
    let response = call(&azure, "GET", "/keys/k8s", Value::Null, HSM).await;
    assert_eq!(response.code(), "403 ForbiddenByRbac");
    assert_eq!(azure.get("/keys/k8s").await.code(), "403 AccessDenied");
}
