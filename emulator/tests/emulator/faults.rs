//! Fault injection.

use std::time::{Duration, Instant};

use akv_emulator::{BodyFault, FaultSet, Faults, Unauthorized};
use serde_json::{Value, json};

use crate::harness::{Azure, Response, VAULT};

fn set(azure: &Azure, vault: FaultSet) {
    azure.emulator.set_faults(Faults { vault, ..Faults::default() });
}

fn status(status: u16) -> FaultSet {
    FaultSet { error_rate: 1.0, status: Some(status), ..FaultSet::default() }
}

#[tokio::test]
async fn a_status_comes_with_the_code_that_the_vault_gives_for_it() {
    let azure = Azure::start().await;
    for (number, code) in [
        (400, "400 BadParameter"),
        (401, "401 Unauthorized"),
        (403, "403 ForbiddenByFirewall"),
        (404, "404 KeyNotFound"),
        (409, "409 ObjectIsDeletedButRecoverable"),
        (429, "429 Throttled"),
        (500, "500 InternalServerError"),
        (503, "503 InternalServerError"),
    ] {
        set(&azure, status(number));
        let response = azure.get("/keys/k8s").await;
        assert_eq!(response.code(), code);
        assert_eq!(response.headers.contains_key("www-authenticate"), number == 401);
        assert_eq!(response.header("x-ms-keyvault-region"), "westeurope");
    }
    assert_eq!(azure.emulator.stats().throttled, 1);
}

#[tokio::test]
async fn throttling_begins_beyond_the_limit_and_tells_when_to_come_again() {
    let azure = Azure::start().await;
    set(&azure, FaultSet { throttle_per_10s: Some(1), retry_after_s: Some(7), ..FaultSet::default() });
    azure.get("/keys/k8s").await.ok();
    let response = azure.get("/keys/k8s").await;
    assert_eq!((response.code().as_str(), response.header("retry-after")), ("429 Throttled", "7"));
    let stats = azure.control_ok("GET", "/stats", Value::Null).await;
    assert_eq!((&stats["throttled"], &stats["calls"]["get"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn a_gateway_answers_errors_with_a_page() {
    let azure = Azure::start().await;
    set(&azure, FaultSet { body: Some(BodyFault::Html), ..status(502) });
    let response = azure.get("/keys/k8s").await;
    assert_eq!((response.status, response.header("content-type")), (502, "text/html"));
    assert!(response.text.contains("<title>502 Bad Gateway</title>"), "{}", response.text);
}

#[tokio::test]
async fn a_body_is_a_page_or_half_of_itself() {
    let azure = Azure::start().await;
    let whole = azure.get("/keys/k8s").await.text;
    set(&azure, FaultSet { body: Some(BodyFault::Truncated), ..FaultSet::default() });
    let half = azure.get("/keys/k8s").await;
    assert_eq!((half.status, half.text.as_str()), (200, &whole[..whole.len() / 2]));
    assert_eq!(azure.get("/keys/absent").await.code(), "404 KeyNotFound");
    set(&azure, FaultSet { body: Some(BodyFault::Html), ..FaultSet::default() });
    assert!(azure.get("/keys/k8s").await.text.starts_with("<!DOCTYPE html>"));
}

#[tokio::test]
async fn a_valid_token_is_refused_once_or_always() {
    let azure = Azure::start().await;
    for (how, expected) in [(Unauthorized::Once, [401, 200]), (Unauthorized::Always, [401, 401])] {
        set(&azure, FaultSet { unauthorized: Some(how), ..FaultSet::default() });
        let statuses = [azure.get("/keys/k8s").await.status, azure.get("/keys/k8s").await.status];
        assert_eq!(statuses, expected);
    }
}

#[tokio::test]
async fn another_version_is_named_only_while_that_is_asked_for() {
    let azure = Azure::start().await;
    let expected = azure.perform("encrypt", "AA").await.ok()["kid"].clone();
    set(&azure, FaultSet { wrong_kid: true, ..FaultSet::default() });
    assert_ne!(azure.perform("encrypt", "AA").await.ok()["kid"], expected);
    azure.emulator.clear_faults();
    assert_eq!(azure.perform("encrypt", "AA").await.ok()["kid"], expected);
}

#[tokio::test]
async fn a_connection_is_reset_or_slow() {
    let azure = Azure::start().await;
    let token = azure.token(VAULT).await;
    let request = || azure.anonymous(&azure.info().vault_host, "GET", "/keys/k8s").bearer_auth(&token);
    set(&azure, FaultSet { reset_rate: 1.0, ..FaultSet::default() });
    assert!(request().send().await.is_err());
    set(&azure, FaultSet { latency_ms: 100, jitter_ms: 10, ..FaultSet::default() });
    let start = Instant::now();
    Response::to(request()).await.ok();
    assert!(start.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn entra_and_imds_fail_in_their_own_words() {
    let azure = Azure::start().await;
    let imds = format!("{}/metadata/identity/oauth2/token", azure.info().imds_url);
    for (number, of_entra, of_imds) in [
        (400, "invalid_request", "invalid_request"),
        (401, "invalid_client", "unknown_source"),
        (403, "unauthorized_client", "access_denied"),
        (404, "invalid_request", "not_found"),
        (429, "temporarily_unavailable", "too_many_requests"),
        (503, "temporarily_unavailable", "unknown"),
    ] {
        let faults = Faults { entra: status(number), imds: status(number), ..Faults::default() };
        azure.emulator.set_faults(faults);
        let entra = azure.request_token("oauth2/v2.0/token", &[]).await;
        assert_eq!((entra.status, &entra.json()["error"]), (number, &json!(of_entra)));
        let imds = Response::to(azure.http.get(&imds)).await;
        assert_eq!((imds.status, &imds.json()["error"]), (number, &json!(of_imds)));
    }
}
