//! Errors of the vault, byte for byte.

use serde_json::json;

use crate::harness::Azure;

fn not_found(name: &str) -> String {
    format!(
        r#"{{"error":{{"code":"KeyNotFound","message":"A key with (name/id) {name} was not found in this key vault. If you recently deleted this key you may be able to recover it using the correct recovery command. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182"}}}}"#
    )
}

fn bad_parameter(message: &str) -> String {
    format!(r#"{{"error":{{"code":"BadParameter","message":"{message}"}}}}"#)
}

#[tokio::test]
async fn a_missing_key_is_not_found_by_any_operation() {
    let azure = Azure::start().await;
    let body = json!({ "alg": "RSA1_5", "value": "AA" });
    let absent = "0".repeat(32);
    for (method, path, name) in [
        ("GET", "/keys/absent".to_owned(), "absent"),
        ("GET", "/keys/absent/versions".to_owned(), "absent"),
        ("GET", format!("/keys/k8s/{absent}"), "k8s"),
        ("PATCH", "/keys/absent".to_owned(), "absent"),
        ("POST", "/keys/absent/rotate".to_owned(), "absent"),
        ("POST", format!("/keys/k8s/{absent}/encrypt"), "k8s"),
    ] {
        let response = azure.call(method, &path, body.clone()).await;
        assert_eq!((response.status, response.text), (404, not_found(name)), "{method} {path}");
    }
}

#[tokio::test]
async fn wrong_parameters_are_refused_with_their_line_breaks() {
    let azure = Azure::start().await;
    let not_base64 = r"Content of 'value' is not base64url.\r\nProperty 'value' is required.\r\n";
    let incorrect = r"The parameter is incorrect.\r\n";
    for (operation, body, message) in [
        ("encrypt", json!({ "alg": "RSA1_5", "value": "+/" }), not_base64),
        ("encrypt", json!({ "alg": "RSA1_5" }), not_base64),
        ("encrypt", json!({ "alg": "A256GCM", "value": "AA" }), incorrect),
        ("encrypt", json!({ "alg": "RSA-OAEP-256", "value": "A".repeat(256) }), incorrect),
        ("decrypt", json!({ "alg": "RSA1_5", "value": "AA" }), incorrect),
    ] {
        let response = azure.call("POST", &format!("/keys/k8s/{operation}"), body).await;
        assert_eq!((response.status, response.text), (400, bad_parameter(message)), "{operation}");
    }
}

#[tokio::test]
async fn an_api_version_must_be_there_and_known() {
    let azure = Azure::start().await;
    let missing = azure.get("/keys/k8s?api-version=").await;
    let text = bad_parameter("The api-version query parameter is required.");
    assert_eq!((missing.status, missing.text), (400, text));
    for unknown in ["7.1xyz", "7.7", "2016-10-02"] {
        let response = azure.get(&format!("/keys/k8s?api-version={unknown}")).await;
        let text = format!(
            "The specified version ({unknown}) is not recognized. Consider using the latest supported version \
             (2025-07-01)."
        );
        assert_eq!((response.status, response.text), (400, bad_parameter(&text)));
    }
    for known in ["2016-10-01", "7.0", "7.6-preview.2", "2025-07-01", "2026-03-01-preview"] {
        azure.get(&format!("/keys/k8s?api-version={known}")).await.ok();
    }
}

#[tokio::test]
async fn the_oldest_api_does_not_know_younger_attributes() {
    let azure = Azure::start().await;
    let old = azure.get("/keys/k8s?api-version=2016-10-01").await.ok();
    let new = azure.get("/keys/k8s?api-version=2025-07-01").await.ok();
    assert_eq!(new["attributes"]["recoverableDays"], json!(90));
    assert!(old["attributes"].get("recoverableDays").is_none());
}

#[tokio::test]
async fn a_version_of_another_form_is_a_page_of_html() {
    let azure = Azure::start().await;
    let response = azure.get("/keys/k8s/latest").await;
    assert_eq!((response.status, response.header("content-type")), (404, "text/html"));
    assert!(response.text.starts_with("<!DOCTYPE html>"));
}
