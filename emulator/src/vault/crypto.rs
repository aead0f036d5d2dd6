//! Encrypt, decrypt, wrapKey and unwrapKey.

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::operations::{Ask, read};
use super::refusals::incorrect;
use crate::faults::Service;
use crate::keys::{Found, Version};
use crate::reply::VaultError;
use crate::tokens::now;

#[derive(Deserialize)]
struct CryptoRequest {
    alg: Option<String>,
    value: Option<String>,
}

pub(super) fn perform_crypto(
    ask: Ask<'_>,
    operation: &str,
    key: &str,
    version: Option<&str>,
    body: &[u8],
) -> Result<Value, VaultError> {
    let request: CryptoRequest = read(body)?;
    let value = decode(request.value.as_deref())?;
    let algorithm =
        request.alg.ok_or_else(|| VaultError::bad_parameter("Property 'alg' is required.\r\n"))?;
    let found = ask.find(key, version)?;
    check_usable(&found.version, operation)?;
    let rsa = found.version.rsa().map_err(VaultError::internal)?;
    let result = match makes_new(operation) {
        true => rsa.encrypt(&algorithm, &value),
        false => rsa.decrypt(&algorithm, &value),
    };
    let value = URL_SAFE_NO_PAD.encode(result.ok_or_else(incorrect)?);
    Ok(json!({ "kid": kid(ask, &found), "value": value }))
}

/// What the answer says about the key: the truth, unless a fault is in force.
fn kid(ask: Ask<'_>, found: &Found) -> String {
    let version = found.version.version.clone();
    let named = match ask.state.faults.of(Service::Vault).wrong_kid {
        false => version,
        true => version.chars().rev().collect(),
    };
    ask.vault.kid(&found.name, &named)
}

fn decode(value: Option<&str>) -> Result<Vec<u8>, VaultError> {
    let refused = || {
        VaultError::bad_parameter("Content of 'value' is not base64url.\r\nProperty 'value' is required.\r\n")
    };
    let value = value.ok_or_else(refused)?;
    URL_SAFE_NO_PAD.decode(value).or_else(|_| URL_SAFE.decode(value)).map_err(|_| refused())
}

fn makes_new(operation: &str) -> bool {
    matches!(operation, "encrypt" | "wrapKey")
}

/// A disabled key does nothing. Outside of nbf and exp only what makes new ciphertexts is refused. The texts for
/// both are by analogy: no recording of them is public.
fn check_usable(version: &Version, operation: &str) -> Result<(), VaultError> {
    let new = makes_new(operation);
    let not_allowed = |on: &str| format!("Operation {operation} is not allowed on {on}.");
    let (code, message) = if !version.operations.iter().any(|known| known == operation) {
        ("KeyOperationForbidden", format!("Operation {operation} is not permitted on this key."))
    } else if !version.enabled {
        ("KeyDisabled", not_allowed("a disabled key"))
    } else if new && version.nbf.is_some_and(|nbf| now() < nbf) {
        ("KeyNotYetValid", not_allowed("a key that is not yet valid"))
    } else if new && version.exp.is_some_and(|exp| now() >= exp) {
        ("KeyExpired", not_allowed("an expired key"))
    } else {
        return Ok(());
    };
    Err(VaultError::forbidden(code, message))
}
