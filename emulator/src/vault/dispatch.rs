//! The operations on keys: each route to its function, and those that create or change keys.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::bundle::bundle;
use super::crypto::perform_crypto;
use super::errors::not_found;
use super::lists::{list_keys, list_versions};
use super::request::{RequestContext, parse};
use super::route::Route;
use crate::error::Error;
use crate::keys::{KeyChange, KeyPatch, NamedVersion};
use crate::response::VaultError;

/// The attributes that a client sets (`KeyAttributes` of the API reference).
#[derive(Default, Deserialize)]
#[serde(default)]
struct KeyAttributes {
    /// Enables or disables the version.
    enabled: Option<bool>,
    /// Not before, in Unix seconds.
    nbf: Option<u64>,
    /// Expires, in Unix seconds.
    exp: Option<u64>,
}

/// The body of create and update (`KeyCreateParameters` and `KeyUpdateParameters` of the API reference).
#[derive(Default, Deserialize)]
#[serde(default)]
struct KeyParameters {
    /// The key type; create only.
    kty: String,
    /// The size of the modulus in bits, by default 2048; create only.
    key_size: Option<u64>,
    /// The permitted operations.
    key_ops: Option<Vec<String>>,
    /// The attributes.
    attributes: KeyAttributes,
    /// All tags.
    tags: Option<BTreeMap<String, String>>,
}

impl KeyParameters {
    /// Converts to the change of a version.
    fn change(self) -> KeyChange {
        let KeyAttributes { enabled, nbf, exp } = self.attributes;
        let (operations, tags) = (self.key_ops, self.tags);
        KeyChange { tags, ..KeyPatch { enabled, nbf, exp, operations, ..KeyPatch::default() }.into() }
    }
}

/// Performs the operation of that route, and returns the JSON of the response.
///
/// # Errors
/// Key Vault's error: a parameter is wrong, there is no such key or version, or the version does not permit it.
pub(super) fn perform(context: RequestContext<'_>, route: Route, body: &[u8]) -> Result<Value, VaultError> {
    match route {
        Route::ListKeys => list_keys(context),
        Route::ListVersions(key) => list_versions(context, &key),
        Route::Get(key, version) => bundle(context, &context.find(&key, version.as_deref())?),
        Route::Create(key) => create(context, &key, body),
        Route::Update(key, version) => update(context, &key, version.as_deref(), body),
        Route::Rotate(key) => changed(context, &key, context.state.rotate(&key)),
        Route::Crypto(operation, key, version) => {
            perform_crypto(context, operation, &key, version.as_deref(), body)
        }
    }
}

/// Creates a version of the key, and the key if there is none.
///
/// # Errors
/// The body, the name, the key type or the size is not supported, or the state cannot be saved.
fn create(context: RequestContext<'_>, key: &str, body: &[u8]) -> Result<Value, VaultError> {
    let parameters: KeyParameters = parse(body)?;
    let is_name = key.len() <= 127 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let bits = parameters.key_size.unwrap_or(2048);
    let is_rsa = ["RSA", context.vault.key_type()].contains(&parameters.kty.as_str());
    if !is_name || !is_rsa || !matches!(bits, 2048 | 3072 | 4096) {
        return Err(VaultError::bad_parameter("Property 'kty' or 'key_size' is not supported.\r\n"));
    }
    let created = context.state.create(key, bits, parameters.change()).map_err(VaultError::internal)?;
    bundle(context, &created)
}

/// Changes that version, or the newest.
///
/// # Errors
/// The body is not valid, there is no such key or version, or the state cannot be saved.
fn update(
    context: RequestContext<'_>,
    key: &str,
    version: Option<&str>,
    body: &[u8],
) -> Result<Value, VaultError> {
    let parameters: KeyParameters = parse(body)?;
    changed(context, key, context.state.change(key, version, parameters.change()))
}

/// Returns the bundle of a version that was created or changed.
///
/// # Errors
/// The change failed, or there is no such key or version.
fn changed(
    context: RequestContext<'_>,
    key: &str,
    changed: Result<Option<NamedVersion>, Error>,
) -> Result<Value, VaultError> {
    let found = changed.map_err(VaultError::internal)?;
    bundle(context, &found.ok_or_else(|| not_found(key))?)
}
