//! Keys that are disabled, not yet valid, expired, or not for the operation.

use serde_json::{Value, json};

use crate::harness::Azure;

const FUTURE: u64 = 4_102_444_800; // 2100

/// Returns the outcomes of the four operations after a change of the first key through the control API.
async fn outcomes(azure: &Azure, change: Value) -> [String; 4] {
    let encrypted = azure.perform("encrypt", "AA").await.ok()["value"].as_str().unwrap().to_owned();
    let path = format!("/keys/k8s/{}", azure.info().key_versions[0]);
    azure.control_ok("PATCH", &path, change).await;
    let mut outcomes = Vec::new();
    for (operation, value) in
        [("encrypt", "AA"), ("wrapkey", "AA"), ("decrypt", &*encrypted), ("unwrapkey", &*encrypted)]
    {
        let response = azure.perform(operation, value).await;
        outcomes.push(if response.status == 200 { "200".into() } else { response.code() });
    }
    azure.control_ok("PATCH", &path, json!({ "enabled": true, "nbf": null, "exp": null })).await;
    outcomes.try_into().unwrap()
}

#[tokio::test]
async fn a_disabled_key_does_nothing_and_is_still_shown() {
    let azure = Azure::start().await;
    assert_eq!(outcomes(&azure, json!({ "enabled": false })).await, ["403 KeyDisabled"; 4]);
    let path = format!("/keys/k8s/{}", azure.info().key_versions[0]);
    azure.control_ok("PATCH", &path, json!({ "enabled": false })).await;
    assert_eq!(azure.get("/keys/k8s").await.ok()["attributes"]["enabled"], json!(false));
    assert_eq!(
        azure.perform("encrypt", "AA").await.text,
        r#"{"error":{"code":"Forbidden","message":"Operation encrypt is not allowed on a disabled key.","innererror":{"code":"KeyDisabled"}}}"#
    );
}

#[tokio::test]
async fn outside_of_its_validity_a_key_decrypts_but_does_not_encrypt() {
    let azure = Azure::start().await;
    let early = outcomes(&azure, json!({ "nbf": FUTURE })).await;
    assert_eq!(early, ["403 KeyNotYetValid", "403 KeyNotYetValid", "200", "200"]);
    let late = outcomes(&azure, json!({ "exp": 1 })).await;
    assert_eq!(late, ["403 KeyExpired", "403 KeyExpired", "200", "200"]);
}

#[tokio::test]
async fn a_null_takes_a_time_away_and_an_absent_field_keeps_it() {
    let azure = Azure::start().await;
    let path = format!("/keys/k8s/{}", azure.info().key_versions[0]);
    azure.control_ok("PATCH", &path, json!({ "nbf": 1, "exp": FUTURE })).await;
    azure.control_ok("PATCH", &path, json!({ "nbf": null })).await;
    let attributes = &azure.get("/keys/k8s").await.ok()["attributes"];
    assert_eq!((attributes.get("nbf"), &attributes["exp"]), (None, &json!(FUTURE)));
}

#[tokio::test]
async fn an_operation_that_the_key_is_not_for_is_refused() {
    let azure = Azure::start().await;
    azure.call("PATCH", "/keys/k8s", json!({ "key_ops": ["encrypt", "unwrapKey"] })).await.ok();
    let encrypted = azure.perform("encrypt", "AA").await.ok()["value"].as_str().unwrap().to_owned();
    let refused = azure.perform("decrypt", &encrypted).await;
    assert_eq!(
        refused.text,
        r#"{"error":{"code":"Forbidden","message":"Operation decrypt is not permitted on this key.","innererror":{"code":"KeyOperationForbidden"}}}"#
    );
    azure.perform("unwrapKey", &encrypted).await.ok();
}
