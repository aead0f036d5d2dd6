//! JSON Web Tokens (RFC 7519): signing with RS256, and checking signatures. Claims are checked by the callers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde_json::{Value, json};

use crate::error::Error;
use crate::rsa::RsaKey;

/// Signs the claims with RS256, and names the key `kid` in the header.
///
/// # Errors
/// The cryptographic library fails.
pub(crate) fn sign(key: &RsaKey, kid: &str, claims: &Value) -> Result<String, Error> {
    let header = json!({ "typ": "JWT", "alg": "RS256", "kid": kid });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes())?);
    Ok(format!("{message}.{signature}"))
}

/// Decodes header and claims without any check; `None` when the token is malformed or its claims are no object.
pub(crate) fn read(token: &str) -> Option<(Header, Value)> {
    let data = jsonwebtoken::dangerous::insecure_decode::<Value>(token).ok()?;
    data.claims.is_object().then_some((data.header, data.claims))
}

/// Reports whether the signature is valid; checks no claim, not even the times.
pub(crate) fn is_signed_by(token: &str, key: &DecodingKey, algorithm: Algorithm) -> bool {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    jsonwebtoken::decode::<Value>(token, key, &validation).is_ok()
}

/// Returns the public half of the key.
pub(crate) fn public(key: &RsaKey) -> DecodingKey {
    let (modulus, exponent) = key.components();
    DecodingKey::from_rsa_raw_components(&modulus, &exponent)
}
