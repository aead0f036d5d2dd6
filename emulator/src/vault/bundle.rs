//! What Key Vault shows of a key. Never a private part.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::reply::VaultError;
use crate::world::{VAULT_HOST, Version};

/// The URL of a key version.
pub(super) fn kid(key: &str, version: &str) -> String {
    format!("https://{VAULT_HOST}/keys/{key}/{version}")
}

/// A whole key bundle.
pub(super) fn bundle(key: &str, version: &Version, api_version: &str) -> Result<Value, VaultError> {
    let rsa =
        version.rsa().map_err(|error| VaultError::new(500, "InternalServerError", error.to_string()))?;
    let (modulus, exponent) = rsa.components();
    let mut bundle = json!({
        "key": {
            "kid": kid(key, &version.version),
            "kty": "RSA",
            "key_ops": version.operations,
            "n": URL_SAFE_NO_PAD.encode(modulus),
            "e": URL_SAFE_NO_PAD.encode(exponent),
        },
        "attributes": attributes(version, api_version),
    });
    if !version.tags.is_empty() {
        bundle["tags"] = json!(version.tags);
    }
    Ok(bundle)
}

/// A line of a list.
pub(super) fn item(key: &str, version: &Version, api_version: &str) -> Value {
    json!({ "kid": kid(key, &version.version), "attributes": attributes(version, api_version) })
}

fn attributes(version: &Version, api_version: &str) -> Value {
    let mut attributes = Map::new();
    attributes.insert("enabled".into(), json!(version.enabled));
    for (name, time) in [("nbf", version.nbf), ("exp", version.exp)] {
        if let Some(time) = time {
            attributes.insert(name.into(), json!(time));
        }
    }
    attributes.insert("created".into(), json!(version.created));
    attributes.insert("updated".into(), json!(version.updated));
    attributes.insert("recoveryLevel".into(), json!("Recoverable+Purgeable"));
    if !api_version.starts_with("201") {
        attributes.insert("recoverableDays".into(), json!(90));
        attributes.insert("exportable".into(), json!(false));
    }
    Value::Object(attributes)
}
