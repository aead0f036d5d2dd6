//! Tokens and challenges of the vault.

use akv_emulator::Challenge;
use serde_json::json;

use crate::harness::{Azure, Response, VAULT};

async fn with_token(azure: &Azure, token: &str) -> Response {
    let request = azure.anonymous(&azure.info().vault_host, "GET", "/keys/k8s");
    Response::to(request.bearer_auth(token)).await
}

async fn challenge(azure: &Azure) -> String {
    let request = azure.anonymous(&azure.info().vault_host, "POST", "/keys/k8s//encrypt");
    let response = Response::to(request.header("content-length", "0")).await;
    assert_eq!(response.status, 401);
    response.header("www-authenticate").to_owned()
}

#[tokio::test]
async fn without_a_token_the_answer_is_a_challenge_and_the_recorded_body() {
    let azure = Azure::start().await;
    let response = Response::to(azure.anonymous(&azure.info().vault_host, "GET", "/keys/k8s")).await;
    let body = r#"{"error":{"code":"Unauthorized","message":"AKV10000: Request is missing a Bearer or PoP token."}}"#;
    assert_eq!((response.status, response.text.as_str(), response.text.len()), (401, body, 97));
}

#[tokio::test]
async fn the_challenge_names_a_resource_or_a_scope_as_it_is_set() {
    let azure = Azure::start().await;
    let authorization =
        format!("Bearer authorization=\"https://login.microsoftonline.com/{}\"", azure.info().tenant_id);
    let resource = format!("{authorization}, resource=\"https://vault.azure.net\"");
    let scope = format!("{authorization}, scope=\"https://vault.azure.net/.default\"");
    assert_eq!(challenge(&azure).await, resource);
    azure.control_ok("PUT", "/challenge", json!({ "format": "scope" })).await;
    assert_eq!(challenge(&azure).await, scope);
    azure.emulator.set_challenge(Challenge::Resource);
    assert_eq!(challenge(&azure).await, resource);
}

#[tokio::test]
async fn a_token_for_another_resource_is_refused_with_what_was_found() {
    let azure = Azure::start().await;
    let token = azure.token("https://management.azure.com").await;
    let response = with_token(&azure, &token).await;
    assert_eq!(response.code(), "401 Unauthorized");
    assert_eq!(
        response.message(),
        "AKV10022: Invalid audience. Expected https://vault.azure.net, found: https://management.azure.com."
    );
    assert!(response.header("www-authenticate").starts_with("Bearer "));
}

#[tokio::test]
async fn a_revocation_also_holds_for_tokens_of_earlier_runs_and_in_later_ones() {
    let azure = Azure::start().await;
    let old = azure.token(VAULT).await;
    let azure = azure.restart().await;
    assert_eq!(with_token(&azure, &old).await.status, 200);
    azure.control_ok("DELETE", "/tokens", json!(null)).await;
    assert!(with_token(&azure, &old).await.message().contains("TokenRevoked"));
    let new = azure.token(VAULT).await;
    let azure = azure.restart().await;
    assert_eq!(with_token(&azure, &old).await.status, 401);
    assert_eq!(with_token(&azure, &new).await.status, 200);
}
