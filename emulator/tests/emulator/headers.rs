//! The headers of the vault's responses.

use serde_json::{Value, json};

use crate::harness::{Azure, Response, VAULT};

#[tokio::test]
async fn every_answer_has_the_recorded_headers_and_a_request_id_of_its_own() {
    let azure = Azure::start().await;
    let (first, second) = (azure.get("/keys/k8s").await, azure.get("/keys/absent").await);
    assert_eq!((first.status, second.status), (200, 404));
    for response in [&first, &second] {
        assert_eq!(response.header("content-type"), "application/json; charset=utf-8");
        assert_eq!(response.header("cache-control"), "no-cache");
        assert_eq!(response.header("expires"), "-1");
        assert_eq!(response.header("pragma"), "no-cache");
        assert_eq!(response.header("strict-transport-security"), "max-age=31536000;includeSubDomains");
        assert_eq!(response.header("x-content-type-options"), "nosniff");
        assert_eq!(response.header("x-ms-keyvault-region"), "westeurope");
        assert_eq!(response.header("x-ms-keyvault-service-version"), "1.9.422.1");
        assert!(response.header("x-ms-keyvault-network-info").ends_with(';'));
        assert!(response.header("date").ends_with(" GMT"));
        assert!(!response.headers.contains_key("x-ms-error-code"));
    }
    assert_eq!(first.header("x-ms-request-id").len(), 36);
    assert_ne!(first.header("x-ms-request-id"), second.header("x-ms-request-id"));
}

#[tokio::test]
async fn every_response_is_recorded_with_its_request_id_until_the_stats_are_reset() {
    let azure = Azure::start().await;
    let read = azure.get("/keys/k8s").await;
    let encrypted = azure.perform("encrypt", "AA").await;
    let refused = azure.perform("sign", "AA").await; // no operation of this vault
    let failing = json!({ "vault": { "error_rate": 1, "status": 503 } });
    azure.control_ok("PUT", "/faults", failing).await;
    let failed = azure.perform("encrypt", "AA").await;
    let recorded = |operation: &str, response: &Response| json!({ "operation": operation, "status": response.status, "request_id": response.header("x-ms-request-id") });
    let expected =
        json!([recorded("get", &read), recorded("encrypt", &encrypted), recorded("encrypt", &failed)]);
    assert_eq!(azure.control_ok("GET", "/answers", Value::Null).await, expected);
    assert_eq!((encrypted.status, refused.status, failed.status), (200, 404, 503));
    azure.control_ok("DELETE", "/stats", Value::Null).await;
    assert!(azure.emulator.responses().is_empty());
}

#[tokio::test]
async fn the_clients_request_id_comes_back_only_when_it_is_wanted() {
    let azure = Azure::start().await;
    for (wanted, expected) in [("true", "mine"), ("false", "")] {
        let request = azure.anonymous(&azure.info().vault_host, "GET", "/keys/k8s");
        let request = request.bearer_auth(azure.token(VAULT).await).header("x-ms-client-request-id", "mine");
        let response = Response::to(request.header("x-ms-return-client-request-id", wanted)).await;
        assert_eq!(response.header("x-ms-client-request-id"), expected);
    }
}
