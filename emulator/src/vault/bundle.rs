//! What Key Vault shows of a key. Never a private part.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::operations::Ask;
use crate::keys::{Found, Version};
use crate::reply::VaultError;

/// A whole key bundle.
pub(super) fn bundle(ask: Ask<'_>, found: &Found) -> Result<Value, VaultError> {
    let version = &found.version;
    let (modulus, exponent) = version.rsa().map_err(VaultError::internal)?.components();
    let key = json!({
        "kid": ask.vault.kid(&found.name, &version.version),
        "kty": ask.vault.key_type(),
        "key_ops": version.operations,
        "n": URL_SAFE_NO_PAD.encode(modulus),
        "e": URL_SAFE_NO_PAD.encode(exponent),
    });
    Ok(described(ask, "key", key, version))
}

/// A line of a list.
pub(super) fn item(ask: Ask<'_>, url: &str, found: &Found) -> Value {
    described(ask, "kid", json!(url), &found.version)
}

/// With attributes, and with tags if there are any.
fn described(ask: Ask<'_>, name: &str, value: Value, version: &Version) -> Value {
    let mut described = json!({ name: value, "attributes": attributes(ask, version) });
    if !version.tags.is_empty() {
        described["tags"] = json!(version.tags);
    }
    described
}

fn attributes(ask: Ask<'_>, version: &Version) -> Value {
    let mut attributes = Map::new();
    attributes.insert("enabled".into(), json!(version.enabled));
    for (name, time) in [("nbf", version.nbf), ("exp", version.exp)] {
        if let Some(time) = time {
            attributes.insert(name.into(), json!(time));
        }
    }
    attributes.insert("created".into(), json!(version.created));
    attributes.insert("updated".into(), json!(version.updated));
    attributes.insert("recoveryLevel".into(), json!(version.recovery_level));
    if !ask.query.api_version.starts_with("201") {
        if let Some(days) = version.recovery_level.days() {
            attributes.insert("recoverableDays".into(), json!(days));
        }
        attributes.insert("exportable".into(), json!(false));
    }
    Value::Object(attributes)
}
