//! Access tokens: JWTs (RFC 7519) signed with RS256, and checked for everything Key Vault checks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Error;
use crate::rsa::RsaKey;

/// What tokens are for.
pub(crate) const AUDIENCE: &str = "https://vault.azure.net";
const DEFAULT_LIFETIME_S: u64 = 3600;

/// The claims of a token of Entra ID for Key Vault, version 1.0.
#[derive(Serialize, Deserialize)]
pub(crate) struct Claims {
    aud: String,
    iss: String,
    iat: u64,
    nbf: u64,
    exp: u64,
    /// The client id: who calls.
    pub appid: String,
    appidacr: String,
    oid: String,
    sub: String,
    pub tid: String,
    idp: String,
    uti: String,
    ver: String,
}

/// Issues and checks tokens.
pub(crate) struct Tokens {
    key: RsaKey,
    tenant: String,
    issued: AtomicU64,
    revoked: AtomicU64,
    lifetime_s: AtomicU64,
}

/// A token, and when it ends.
pub(crate) struct Issued {
    pub token: String,
    pub not_before: u64,
    pub expires_on: u64,
}

impl Issued {
    pub(crate) fn expires_in(&self) -> u64 {
        self.expires_on - self.not_before
    }
}

impl Tokens {
    pub(crate) fn new(key: RsaKey, tenant: String) -> Self {
        let lifetime_s = AtomicU64::new(DEFAULT_LIFETIME_S);
        Self { key, tenant, issued: AtomicU64::new(0), revoked: AtomicU64::new(0), lifetime_s }
    }

    pub(crate) fn set_lifetime(&self, lifetime: Duration) {
        self.lifetime_s.store(lifetime.as_secs(), Ordering::SeqCst);
    }

    pub(crate) fn revoke_all(&self) {
        self.revoked.store(self.issued.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// A token for that application.
    pub(crate) fn issue(&self, client_id: &str, audience: &str) -> Result<Issued, Error> {
        let now = now();
        let serial = self.issued.fetch_add(1, Ordering::SeqCst) + 1;
        let expires_on = now + self.lifetime_s.load(Ordering::SeqCst);
        let issuer = self.issuer();
        let claims = Claims {
            aud: audience.into(),
            iss: issuer.clone(),
            iat: now,
            nbf: now,
            exp: expires_on,
            appid: client_id.into(),
            appidacr: "1".into(),
            oid: object_id(client_id),
            sub: object_id(client_id),
            tid: self.tenant.clone(),
            idp: issuer,
            uti: serial.to_string(),
            ver: "1.0".into(),
        };
        Ok(Issued { token: self.sign(&json!(claims))?, not_before: now, expires_on })
    }

    fn sign(&self, claims: &Value) -> Result<String, Error> {
        let header = json!({ "typ": "JWT", "alg": "RS256", "kid": "emulator" });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(message.as_bytes())?);
        Ok(format!("{message}.{signature}"))
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// What Key Vault says to a token it does not accept.
    pub(crate) fn check(&self, token: &str) -> Result<Claims, String> {
        let (modulus, exponent) = self.key.components();
        let key = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
        let mut validation = Validation::new(Algorithm::RS256);
        validation.leeway = 0;
        validation.validate_nbf = true;
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[self.issuer()]);
        let checked = jsonwebtoken::decode::<Claims>(token, &key, &validation);
        let claims = checked.map_err(|error| self.refusal(&error))?.claims;
        let serial: u64 = claims.uti.parse().unwrap_or(0);
        if serial <= self.revoked.load(Ordering::SeqCst) {
            return Err("[TokenRevoked] Error validating token: 'S2S12005'.".into());
        }
        Ok(claims)
    }

    fn refusal(&self, error: &jsonwebtoken::errors::Error) -> String {
        use jsonwebtoken::errors::ErrorKind;
        match error.kind() {
            ErrorKind::ExpiredSignature => "[TokenExpired] Error validating token: 'S2S12086'.".into(),
            ErrorKind::InvalidAudience => format!("AKV10022: Invalid audience. Expected {AUDIENCE}."),
            ErrorKind::InvalidIssuer => {
                format!("AKV10032: Invalid issuer. Expected one of {}", self.issuer())
            }
            ErrorKind::InvalidSignature => {
                "AKV10046: Unable to resolve the key used for signature validation.".into()
            }
            _ => "AKV10000: Request is missing a Bearer or PoP token.".into(),
        }
    }

    fn issuer(&self) -> String {
        format!("https://sts.windows.net/{}/", self.tenant)
    }

    /// The public signing key, as `discovery/keys` shows it.
    pub(crate) fn jwks(&self) -> Value {
        let (modulus, exponent) = self.key.components();
        let part = |bytes| URL_SAFE_NO_PAD.encode::<Vec<u8>>(bytes);
        json!({ "keys": [{ "kty": "RSA", "use": "sig", "kid": "emulator", "n": part(modulus), "e": part(exponent) }] })
    }
}

/// A stable object id for an application.
fn object_id(client_id: &str) -> String {
    client_id.chars().rev().map(|c| if c == '-' { '0' } else { c }).collect()
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        Tokens::new(RsaKey::generate(2048).unwrap(), "tenant".into())
    }

    #[test]
    fn an_issued_token_is_accepted_and_names_its_client() {
        let tokens = tokens();
        let issued = tokens.issue("client", AUDIENCE).unwrap();
        assert_eq!(tokens.check(&issued.token).unwrap().appid, "client");
        assert_eq!(issued.expires_in(), 3600);
    }

    #[test]
    fn what_key_vault_refuses_is_refused_with_its_words() {
        let tokens = tokens();
        let refusal = |token: &str| tokens.check(token).err().unwrap();
        assert!(refusal("rubbish").starts_with("AKV10000"));
        let other = tokens.issue("client", "https://management.azure.com").unwrap();
        assert!(refusal(&other.token).starts_with("AKV10022"));
        let foreign = Tokens::new(RsaKey::generate(2048).unwrap(), "tenant".into());
        assert!(refusal(&foreign.issue("client", AUDIENCE).unwrap().token).starts_with("AKV10046"));
        let issued = tokens.issue("client", AUDIENCE).unwrap();
        tokens.revoke_all();
        assert!(refusal(&issued.token).contains("TokenRevoked"));
        assert!(tokens.check(&tokens.issue("client", AUDIENCE).unwrap().token).is_ok());
    }
}
