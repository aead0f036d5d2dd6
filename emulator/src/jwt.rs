//! JSON Web Tokens (RFC 7519): signing with RS256, and checking signatures. Claims are left to who understands them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde_json::{Value, json};

use crate::Error;
use crate::rsa::RsaKey;

/// A signed token.
pub(crate) fn sign(key: &RsaKey, kid: &str, claims: &Value) -> Result<String, Error> {
    let header = json!({ "typ": "JWT", "alg": "RS256", "kid": kid });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes())?);
    Ok(format!("{message}.{signature}"))
}

/// What a token says, before anything of it is checked.
pub(crate) fn read(token: &str) -> Option<(Header, Value)> {
    let data = jsonwebtoken::dangerous::insecure_decode::<Value>(token).ok()?;
    data.claims.is_object().then_some((data.header, data.claims))
}

pub(crate) fn is_signed_by(token: &str, key: &DecodingKey, algorithm: Algorithm) -> bool {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    jsonwebtoken::decode::<Value>(token, key, &validation).is_ok()
}

/// The public half.
pub(crate) fn public(key: &RsaKey) -> DecodingKey {
    let (modulus, exponent) = key.components();
    DecodingKey::from_rsa_raw_components(&modulus, &exponent)
}
