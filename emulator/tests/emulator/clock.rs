//! The services' clock.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::harness::{Azure, Response};

/// Returns how many seconds the response's date is ahead of this machine's clock.
fn ahead(response: &Response) -> i64 {
    let date = DateTime::parse_from_rfc2822(response.header("date")).unwrap();
    date.signed_duration_since(Utc::now()).num_seconds()
}

/// Returns a response of each service, and an error.
async fn responses(azure: &Azure) -> [Response; 4] {
    let imds = azure.http.get(format!("{}/metadata/identity/oauth2/token", azure.info().imds_url));
    [
        azure.get("/keys/k8s").await,
        azure.get("/keys/absent").await,
        azure.request_token("oauth2/v2.0/token", &[("scope", "https://vault.azure.net/.default")]).await,
        Response::to(imds).await,
    ]
}

#[tokio::test]
async fn every_service_s_answers_are_dated_by_a_clock_that_can_be_off() {
    let azure = Azure::start().await;
    for offset in [400_i64, -86_400, 0] {
        azure.control_ok("PUT", "/clock", json!({ "offset_s": offset })).await;
        for response in responses(&azure).await {
            assert!((ahead(&response) - offset).abs() < 30, "{offset}: {}", response.header("date"));
        }
    }
}

#[tokio::test]
async fn keys_and_tokens_and_the_control_api_keep_to_this_machine_s_clock() {
    let azure = Azure::start().await;
    azure.emulator.set_clock_offset(86_400);
    azure.perform("encrypt", "AA").await.ok(); // with a token that would be expired
    assert!(ahead(&azure.control("GET", "/stats", Value::Null).await).abs() < 30);
    let created = azure.create("made", json!({ "kty": "RSA" })).await.ok()["attributes"]["created"].as_i64();
    assert!((created.unwrap() - Utc::now().timestamp()).abs() < 30);
}
