//! The control API.

use serde_json::{Value, json};

use crate::harness::{Azure, VAULT, claims};

#[tokio::test]
async fn unknown_fields_and_values_are_refused_and_change_nothing() {
    let azure = Azure::start().await;
    let version = format!("/keys/k8s/{}", azure.info().key_versions[0]);
    for (method, path, body) in [
        ("PUT", "/faults", json!({ "vaults": {} })),
        ("PUT", "/faults", json!({ "vault": { "latency": 5 } })),
        ("PUT", "/faults", json!({ "vault": { "error_rate": 1.5 } })),
        ("PUT", "/faults", json!({ "vault": { "body": "xml" } })),
        ("PUT", "/faults", json!({ "imds": { "wrong_kid": true } })),
        ("PUT", "/challenge", json!({ "format": "scope", "realm": "x" })),
        ("PUT", "/challenge", json!({ "format": "basic" })),
        ("PUT", "/challenge", json!({})),
        ("PUT", "/tokens", json!({ "lifetime": 5 })),
        ("PUT", "/permissions", json!({ "somebody": "get" })),
        ("PUT", "/permission-model", json!({ "model": "abac" })),
        ("PUT", "/permission-model", json!({})),
        ("PUT", "/clock", json!({ "offset": 5 })),
        ("PUT", "/clock", json!({ "offset_s": 1e12 })),
        ("PATCH", &*version, json!({ "enabled": false, "tags": {} })),
    ] {
        let response = azure.control(method, path, body.clone()).await;
        assert_eq!(response.status, 400, "{method} {path} {body}");
        assert!(response.json()["error"].is_string());
    }
    assert_eq!(azure.get("/keys/k8s").await.ok()["attributes"]["enabled"], json!(true));
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let azure = Azure::start().await;
    let absent = format!("/keys/k8s/{}", "0".repeat(32));
    for (method, path) in [("POST", "/keys/absent/rotate"), ("PATCH", &*absent), ("GET", "/nowhere")] {
        assert_eq!(azure.control(method, path, json!({})).await.status, 404, "{method} {path}");
    }
    assert!(azure.control("GET", "/nowhere", Value::Null).await.text.contains("PUT /challenge"));
}

#[tokio::test]
async fn calls_are_counted_by_operation_and_by_principal() {
    let azure = Azure::start().await;
    azure.get("/keys/k8s").await.ok();
    azure.perform("encrypt", "AA").await.ok();
    let stats = azure.control_ok("GET", "/stats", Value::Null).await;
    assert_eq!(stats["calls"], json!({ "get": 1, "encrypt": 1 }));
    assert_eq!(stats["by_principal"][&azure.info().client_id], json!({ "get": 1, "encrypt": 1 }));
    assert_eq!(stats["tokens_issued"], json!(2));
    azure.control_ok("DELETE", "/stats", Value::Null).await;
    assert_eq!(azure.emulator.stats().calls("get"), 0);
}

#[tokio::test]
async fn a_rotation_answers_the_new_version() {
    let azure = Azure::start().await;
    let rotated = azure.control_ok("POST", "/keys/K8S/rotate", Value::Null).await;
    let kid = azure.get("/keys/k8s").await.ok()["key"]["kid"].as_str().unwrap().to_owned();
    assert!(kid.ends_with(rotated["version"].as_str().unwrap()));
}

#[tokio::test]
async fn tokens_last_as_long_as_it_is_set() {
    let azure = Azure::start().await;
    azure.control_ok("PUT", "/tokens", json!({ "lifetime_s": 120 })).await;
    let claims = claims(&azure.token(VAULT).await);
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 120);
}

#[tokio::test]
async fn faults_are_shown_and_end_when_they_are_deleted() {
    let azure = Azure::start().await;
    azure.control_ok("PUT", "/faults", json!({ "vault": { "error_rate": 1, "status": 503 } })).await;
    assert_eq!(azure.control_ok("GET", "/faults", Value::Null).await["vault"]["status"], json!(503));
    assert_eq!(azure.get("/keys/k8s").await.status, 503);
    azure.control_ok("DELETE", "/faults", Value::Null).await;
    azure.get("/keys/k8s").await.ok();
}
