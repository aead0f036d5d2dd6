//! The JSON of keys (`KeyBundle` and `KeyItem` of the API reference). Never a private part.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::request::RequestContext;
use crate::keys::{KeyVersion, NamedVersion};
use crate::response::VaultError;

/// Returns a key bundle.
///
/// # Errors
/// The key pair is not loaded.
pub(super) fn bundle(context: RequestContext<'_>, found: &NamedVersion) -> Result<Value, VaultError> {
    let version = &found.version;
    let (modulus, exponent) = version.rsa().map_err(VaultError::internal)?.components();
    let key = json!({
        "kid": context.vault.kid(&found.name, &version.version),
        "kty": context.vault.key_type(),
        "key_ops": version.operations,
        "n": URL_SAFE_NO_PAD.encode(modulus),
        "e": URL_SAFE_NO_PAD.encode(exponent),
    });
    Ok(with_attributes(context, "key", key, version))
}

/// Returns an item of a list, with that URL as its `kid`.
pub(super) fn item(context: RequestContext<'_>, url: &str, found: &NamedVersion) -> Value {
    with_attributes(context, "kid", json!(url), &found.version)
}

/// Adds attributes, and tags if there are any, to the member `name`.
fn with_attributes(context: RequestContext<'_>, name: &str, value: Value, version: &KeyVersion) -> Value {
    let mut object = json!({ name: value, "attributes": attributes(context, version) });
    if !version.tags.is_empty() {
        object["tags"] = json!(version.tags);
    }
    object
}

/// Returns the attributes. API versions before 7.0 have fewer of them.
fn attributes(context: RequestContext<'_>, version: &KeyVersion) -> Value {
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
    if !context.query.api_version.starts_with("201") {
        if let Some(days) = version.recovery_level.days() {
            attributes.insert("recoverableDays".into(), json!(days));
        }
        attributes.insert("exportable".into(), json!(false));
    }
    Value::Object(attributes)
}
