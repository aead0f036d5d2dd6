//! Encrypt, decrypt, wrapKey and unwrapKey.

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::errors::incorrect;
use super::request::{RequestContext, parse};
use crate::faults::Service;
use crate::keys::{KeyVersion, NamedVersion};
use crate::response::VaultError;
use crate::tokens::now;

/// The body (`KeyOperationsParameters` of the API reference).
#[derive(Deserialize)]
struct KeyOperationsParameters {
    /// The algorithm, such as `RSA-OAEP-256`.
    alg: Option<String>,
    /// The plaintext or ciphertext in base64url.
    value: Option<String>,
}

/// Performs one of the four operations (`operation`, as in `key_ops`) with that version, or the newest.
///
/// # Errors
/// A parameter is missing or wrong, there is no such key or version, or the version does not permit it.
pub(super) fn perform_crypto(
    context: RequestContext<'_>,
    operation: &str,
    key: &str,
    version: Option<&str>,
    body: &[u8],
) -> Result<Value, VaultError> {
    let parameters: KeyOperationsParameters = parse(body)?;
    let value = decode(parameters.value.as_deref())?;
    let algorithm =
        parameters.alg.ok_or_else(|| VaultError::bad_parameter("Property 'alg' is required.\r\n"))?;
    let found = context.find(key, version)?;
    check_usable(&found.version, operation)?;
    let rsa = found.version.rsa().map_err(VaultError::internal)?;
    let result =
        if encrypts(operation) { rsa.encrypt(&algorithm, &value) } else { rsa.decrypt(&algorithm, &value) };
    let value = URL_SAFE_NO_PAD.encode(result.ok_or_else(incorrect)?);
    Ok(json!({ "kid": kid(context, &found), "value": value }))
}

/// Returns the `kid` of the response: that of the version, or, with the fault `wrong_kid`, another one.
fn kid(context: RequestContext<'_>, found: &NamedVersion) -> String {
    let version = found.version.version.clone();
    let version = if context.state.faults.of(Service::Vault).wrong_kid {
        version.chars().rev().collect()
    } else {
        version
    };
    context.vault.kid(&found.name, &version)
}

/// Decodes base64url with or without padding.
///
/// # Errors
/// There is none, or it is not base64url.
fn decode(value: Option<&str>) -> Result<Vec<u8>, VaultError> {
    let bad_value = || {
        VaultError::bad_parameter("Content of 'value' is not base64url.\r\nProperty 'value' is required.\r\n")
    };
    let value = value.ok_or_else(bad_value)?;
    URL_SAFE_NO_PAD.decode(value).or_else(|_| URL_SAFE.decode(value)).map_err(|_| bad_value())
}

/// Reports whether the operation makes a ciphertext.
fn encrypts(operation: &str) -> bool {
    matches!(operation, "encrypt" | "wrapKey")
}

/// Checks that the version permits the operation. Outside of `nbf` and `exp` it still decrypts and unwraps. The texts
/// for a disabled version and for the times are by analogy: no recording of them is public.
///
/// # Errors
/// A 403: the operation is not in `key_ops`, the version is disabled, not yet valid, or expired.
fn check_usable(version: &KeyVersion, operation: &str) -> Result<(), VaultError> {
    let encrypts = encrypts(operation);
    let not_allowed = |on: &str| format!("Operation {operation} is not allowed on {on}.");
    let (code, message) = if !version.operations.iter().any(|known| known == operation) {
        ("KeyOperationForbidden", format!("Operation {operation} is not permitted on this key."))
    } else if !version.enabled {
        ("KeyDisabled", not_allowed("a disabled key"))
    } else if encrypts && version.nbf.is_some_and(|nbf| now() < nbf) {
        ("KeyNotYetValid", not_allowed("a key that is not yet valid"))
    } else if encrypts && version.exp.is_some_and(|exp| now() >= exp) {
        ("KeyExpired", not_allowed("an expired key"))
    } else {
        return Ok(());
    };
    Err(VaultError::forbidden(code, message))
}
