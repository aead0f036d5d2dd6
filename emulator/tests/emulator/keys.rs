//! Making, changing and rotating keys.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::harness::Azure;

fn modulus_bits(bundle: &Value) -> usize {
    URL_SAFE_NO_PAD.decode(bundle["key"]["n"].as_str().unwrap()).unwrap().len() * 8
}

#[tokio::test]
async fn keys_of_every_size_are_made_and_nothing_private_is_shown() {
    let azure = Azure::start().await;
    for bits in [2048, 3072, 4096] {
        let made = azure.create("made", json!({ "kty": "RSA", "key_size": bits })).await.ok();
        assert_eq!(modulus_bits(&made), bits);
        let members: Vec<&String> = made["key"].as_object().unwrap().keys().collect();
        assert_eq!(members.len(), 5, "{members:?}");
        assert_eq!(
            made["key"]["key_ops"],
            json!(["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"])
        );
        assert_eq!(made["key"]["kty"], json!("RSA"));
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_is_refused() {
    let azure = Azure::start().await;
    for (name, body) in [
        ("small", json!({ "kty": "RSA", "key_size": 1024 })),
        ("curve", json!({ "kty": "EC" })),
        ("hsm", json!({ "kty": "RSA-HSM" })),
        ("under_score", json!({ "kty": "RSA" })),
    ] {
        assert_eq!(azure.create(name, body).await.code(), "400 BadParameter", "{name}");
    }
}

#[tokio::test]
async fn a_rotation_makes_a_like_version_that_is_the_newest_and_keeps_the_old() {
    let azure = Azure::start().await;
    let like = json!({ "kty": "RSA", "key_size": 3072, "key_ops": ["encrypt"], "tags": { "a": "b" } });
    let old = azure.create("rotated", like).await.ok();
    let new = azure.call("POST", "/keys/rotated/rotate", Value::Null).await.ok();
    assert_ne!(new["key"]["kid"], old["key"]["kid"]);
    assert_ne!(new["key"]["n"], old["key"]["n"]);
    assert_eq!(
        (modulus_bits(&new), &new["tags"], &new["key"]["key_ops"]),
        (3072, &old["tags"], &json!(["encrypt"]))
    );
    assert_eq!(azure.get("/keys/rotated").await.ok(), new);
    let old_path = old["key"]["kid"].as_str().unwrap().split_once(".net").unwrap().1;
    assert_eq!(azure.get(old_path).await.ok(), old);
}

#[tokio::test]
async fn an_update_keeps_what_it_does_not_name() {
    let azure = Azure::start().await;
    let before = azure.get("/keys/k8s").await.ok();
    assert_eq!(azure.call("PATCH", "/keys/k8s", json!({ "attributes": {} })).await.ok(), before);
    let changes = json!({ "attributes": { "exp": 5 }, "tags": { "a": "b" } });
    let changed = azure.call("PATCH", "/keys/k8s", changes).await.ok();
    assert_eq!((&changed["attributes"]["exp"], &changed["tags"]), (&json!(5), &json!({ "a": "b" })));
    assert_eq!(changed["key"], before["key"]);
    assert_eq!(azure.get("/keys/k8s").await.ok(), changed);
}

#[tokio::test]
async fn a_name_means_the_same_key_in_any_letter_case() {
    let azure = Azure::start().await;
    assert_eq!(azure.get("/keys/K8S").await.ok(), azure.get("/keys/k8s").await.ok());
    let more = azure.create("K8s", json!({ "kty": "RSA" })).await.ok();
    assert!(more["key"]["kid"].as_str().unwrap().contains("/keys/k8s/"));
    assert_eq!(azure.get("/keys").await.ok()["value"].as_array().unwrap().len(), 1);
}
