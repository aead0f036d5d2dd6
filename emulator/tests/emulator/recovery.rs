//! Recovery levels of keys.

use akv_emulator::{KeyPatch, RecoveryLevel};
use serde_json::{Value, json};

use crate::harness::Azure;

async fn set(azure: &Azure, level: &str) -> Value {
    let path = format!("/keys/k8s/{}", azure.info().key_versions[0]);
    azure.control_ok("PATCH", &path, json!({ "recovery_level": level })).await;
    azure.get("/keys/k8s").await.ok()["attributes"].take()
}

#[tokio::test]
async fn a_key_has_the_level_that_is_set_and_days_unless_it_is_gone_at_once() {
    let azure = Azure::start().await;
    let first = azure.get("/keys/k8s").await.ok();
    assert_eq!(first["attributes"]["recoveryLevel"], json!("Recoverable+Purgeable"));
    for (level, days) in [
        ("Purgeable", Value::Null),
        ("Recoverable+Purgeable", json!(90)),
        ("Recoverable", json!(90)),
        ("Recoverable+ProtectedSubscription", json!(90)),
        ("CustomizedRecoverable+Purgeable", json!(7)),
        ("CustomizedRecoverable", json!(7)),
        ("CustomizedRecoverable+ProtectedSubscription", json!(7)),
    ] {
        let attributes = set(&azure, level).await;
        assert_eq!((&attributes["recoveryLevel"], &attributes["recoverableDays"]), (&json!(level), &days));
        assert_eq!(attributes.as_object().unwrap().contains_key("recoverableDays"), !days.is_null());
    }
}

#[tokio::test]
async fn a_level_that_does_not_exist_is_refused_with_those_that_do() {
    let azure = Azure::start().await;
    let path = format!("/keys/k8s/{}", azure.info().key_versions[0]);
    let response = azure.control("PATCH", &path, json!({ "recovery_level": "Recoverable+Purgable" })).await;
    let error = response.json()["error"].as_str().unwrap().to_owned();
    assert_eq!(response.status, 400);
    for named in ["`Recoverable+Purgable`", "`Recoverable+Purgeable`", "`CustomizedRecoverable`"] {
        assert!(error.contains(named), "{error}");
    }
}

#[tokio::test]
async fn a_client_cannot_set_the_level() {
    let azure = Azure::start().await;
    let body = json!({ "attributes": { "recoveryLevel": "Purgeable" } });
    let key = azure.call("PATCH", "/keys/k8s", body).await.ok();
    assert_eq!(key["attributes"]["recoveryLevel"], json!("Recoverable+Purgeable"));
}

#[tokio::test]
async fn the_level_outlasts_a_rotation_and_a_restart() {
    let azure = Azure::start().await;
    let patch = KeyPatch { recovery_level: Some(RecoveryLevel::Recoverable), ..KeyPatch::default() };
    azure.emulator.update_key("k8s", &azure.info().key_versions[0], patch).unwrap();
    azure.emulator.rotate("k8s").unwrap();
    let azure = azure.restart().await;
    assert_eq!(azure.get("/keys/k8s").await.ok()["attributes"]["recoveryLevel"], json!("Recoverable"));
}
