//! Access tokens: JWTs (RFC 7519) signed with RS256, with all the checks that Key Vault makes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::Error;
use crate::ids::{object_id, random_hex};
use crate::jwt;
use crate::rsa::RsaKey;
use crate::stats::CredentialKind;

/// The lifetime of tokens until it is set, in seconds.
const DEFAULT_LIFETIME_S: u64 = 3600;
/// The message of Key Vault's 401 to a request without a token, or with an unreadable one.
pub(crate) const MISSING_TOKEN: &str = "AKV10000: Request is missing a Bearer or PoP token.";
/// The message of Key Vault's 401 to an expired token.
pub(crate) const EXPIRED_TOKEN: &str = "[TokenExpired] Error validating token: 'S2S12086'.";

/// The claims of an access token of version 1.0 (access token claims reference of the Microsoft identity platform).
#[derive(Serialize, Deserialize)]
pub(crate) struct Claims {
    /// Audience: the resource that it is for, such as `https://vault.azure.net`.
    aud: String,
    /// Issuer: `https://sts.windows.net/{tenant}/`.
    iss: String,
    /// Issued at, in Unix seconds.
    iat: u64,
    /// Not before, in Unix seconds.
    nbf: u64,
    /// Expires, in Unix seconds.
    exp: u64,
    /// The client id of the caller.
    pub appid: String,
    /// The client's authentication method: `1` for a secret, `2` for everything else.
    appidacr: String,
    /// The object id of the caller's service principal.
    pub oid: String,
    /// Subject: the same as `oid`.
    sub: String,
    /// The tenant's id.
    pub tid: String,
    /// Identity provider: the same as `iss`.
    idp: String,
    /// A unique identifier of the token.
    uti: String,
    /// The version of the token's format: `1.0`.
    ver: String,
    /// An opaque claim for the issuer's own use: here the epoch, by which tokens are revoked.
    #[serde(default)]
    aio: String,
}

/// The issuer and validator of access tokens.
pub(crate) struct Tokens {
    /// The key that signs tokens.
    key: RsaKey,
    /// The tenant's id.
    tenant: String,
    /// The current epoch, which new tokens carry in `aio`. Tokens of another epoch are revoked.
    epoch: Mutex<String>,
    /// The lifetime of new tokens, in seconds.
    lifetime_s: AtomicU64,
}

/// A token that was issued.
pub(crate) struct IssuedToken {
    /// The signed JWT.
    pub token: String,
    /// The start of its validity, in Unix seconds.
    pub not_before: u64,
    /// The end of its validity, in Unix seconds.
    pub expires_on: u64,
}

impl IssuedToken {
    /// Returns its lifetime in seconds.
    pub(crate) fn expires_in(&self) -> u64 {
        self.expires_on - self.not_before
    }
}

impl Tokens {
    pub(crate) fn new(key: RsaKey, tenant: String, epoch: String) -> Self {
        Self { key, tenant, epoch: Mutex::new(epoch), lifetime_s: AtomicU64::new(DEFAULT_LIFETIME_S) }
    }

    /// Sets the lifetime of tokens issued from now on; counts whole seconds.
    pub(crate) fn set_lifetime(&self, lifetime: Duration) {
        self.lifetime_s.store(lifetime.as_secs(), Ordering::SeqCst);
    }

    /// Begins that epoch, which no token has yet: every token issued until now is revoked.
    pub(crate) fn revoke_all(&self, epoch: String) {
        *self.lock_epoch() = epoch;
    }

    /// Returns the current epoch.
    pub(crate) fn epoch(&self) -> String {
        self.lock_epoch().clone()
    }

    fn lock_epoch(&self) -> MutexGuard<'_, String> {
        self.epoch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Issues a token for that resource (`audience`) to that application.
    ///
    /// # Errors
    /// The cryptographic library fails.
    pub(crate) fn issue(
        &self,
        client_id: &str,
        audience: &str,
        credential: CredentialKind,
    ) -> Result<IssuedToken, Error> {
        let now = now();
        let expires_on = now + self.lifetime_s.load(Ordering::SeqCst);
        let issuer = self.issuer();
        let claims = Claims {
            aud: audience.into(),
            iss: issuer.clone(),
            iat: now,
            nbf: now,
            exp: expires_on,
            appid: client_id.into(),
            appidacr: if credential == CredentialKind::Secret { "1" } else { "2" }.into(),
            oid: object_id(client_id),
            sub: object_id(client_id),
            tid: self.tenant.clone(),
            idp: issuer,
            uti: random_hex(16)?,
            ver: "1.0".into(),
            aio: self.epoch(),
        };
        Ok(IssuedToken { token: self.sign(&json!(claims))?, not_before: now, expires_on })
    }

    /// Signs the claims.
    ///
    /// # Errors
    /// The cryptographic library fails.
    fn sign(&self, claims: &Value) -> Result<String, Error> {
        jwt::sign(&self.key, "emulator", claims)
    }

    /// Validates the token for that audience and returns its claims.
    ///
    /// # Errors
    /// Signature, times, audience or issuer are wrong, or the token is revoked. Gives Key Vault's message.
    pub(crate) fn check(&self, token: &str, audience: &str) -> Result<Claims, String> {
        let claims = self.read(token)?;
        let issuer = self.issuer();
        if claims.aud != audience {
            return Err(format!("AKV10022: Invalid audience. Expected {audience}, found: {}.", claims.aud));
        }
        if claims.iss != issuer {
            return Err(format!("AKV10032: Invalid issuer. Expected one of {issuer}, found {}.", claims.iss));
        }
        if claims.aio != self.epoch() {
            return Err("[TokenRevoked] Error validating token: 'S2S12005'.".into());
        }
        Ok(claims)
    }

    /// Returns the claims when signature and times are right. Checks neither audience nor issuer: Key Vault's messages
    /// on those quote the claims.
    ///
    /// # Errors
    /// The token is malformed, expired, not yet valid, or of another key. Gives Key Vault's message.
    fn read(&self, token: &str) -> Result<Claims, String> {
        let mut validation = Validation::new(Algorithm::RS256);
        validation.leeway = 0;
        validation.validate_nbf = true;
        validation.validate_aud = false;
        let checked = jsonwebtoken::decode::<Claims>(token, &jwt::public(&self.key), &validation);
        Ok(checked.map_err(|error| rejection(&error))?.claims)
    }

    fn issuer(&self) -> String {
        format!("https://sts.windows.net/{}/", self.tenant)
    }

    /// Returns the public signing key as a JWK set (RFC 7517, section 5).
    pub(crate) fn jwks(&self) -> Value {
        let (modulus, exponent) = self.key.components();
        let part = |bytes| URL_SAFE_NO_PAD.encode::<Vec<u8>>(bytes);
        json!({ "keys": [{ "kty": "RSA", "use": "sig", "kid": "emulator", "n": part(modulus), "e": part(exponent) }] })
    }
}

/// Maps a failed validation to Key Vault's message.
fn rejection(error: &jsonwebtoken::errors::Error) -> String {
    use jsonwebtoken::errors::ErrorKind;
    let text = match error.kind() {
        ErrorKind::ExpiredSignature => EXPIRED_TOKEN,
        ErrorKind::InvalidSignature => "AKV10046: Unable to resolve the key used for signature validation.",
        _ => MISSING_TOKEN,
    };
    text.into()
}

/// Returns this machine's time in Unix seconds.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUDIENCE: &str = "https://vault.azure.net";

    fn tokens() -> Tokens {
        Tokens::new(RsaKey::generate(2048).unwrap(), "tenant".into(), "epoch".into())
    }

    /// Returns the message of `tokens` on an issued token whose claims are changed before they are signed again.
    fn rejection_of(tokens: &Tokens, change: impl FnOnce(&mut Value)) -> String {
        let issued = tokens.issue("client", AUDIENCE, CredentialKind::Secret).unwrap().token;
        let mut claims = json!(tokens.read(&issued).unwrap());
        change(&mut claims);
        tokens.check(&tokens.sign(&claims).unwrap(), AUDIENCE).err().unwrap()
    }

    #[test]
    fn an_issued_token_is_accepted_and_names_its_client() {
        let tokens = tokens();
        let issued = tokens.issue("client", AUDIENCE, CredentialKind::Secret).unwrap();
        assert_eq!(tokens.check(&issued.token, AUDIENCE).unwrap().appid, "client");
        assert_eq!(issued.expires_in(), 3600);
    }

    #[test]
    fn a_token_that_says_something_wrong_is_refused_with_what_was_found() {
        let rejection = |claim: &str, value: Value| rejection_of(&tokens(), |claims| claims[claim] = value);
        assert_eq!(
            rejection("aud", json!("https://vault.azure.net/")),
            "AKV10022: Invalid audience. Expected https://vault.azure.net, found: https://vault.azure.net/."
        );
        assert_eq!(
            rejection("iss", json!("https://sts.windows.net/other/")),
            "AKV10032: Invalid issuer. Expected one of https://sts.windows.net/tenant/, \
             found https://sts.windows.net/other/."
        );
        assert_eq!(rejection("exp", json!(now() - 1)), EXPIRED_TOKEN);
        assert_eq!(rejection("nbf", json!(now() + 60)), MISSING_TOKEN);
    }

    #[test]
    fn a_token_that_is_none_or_of_another_key_is_refused() {
        let tokens = tokens();
        assert_eq!(tokens.check("rubbish", AUDIENCE).err().unwrap(), MISSING_TOKEN);
        let foreign = Tokens::new(RsaKey::generate(2048).unwrap(), "tenant".into(), "epoch".into());
        let foreign = foreign.issue("client", AUDIENCE, CredentialKind::Secret).unwrap().token;
        assert!(tokens.check(&foreign, AUDIENCE).err().unwrap().starts_with("AKV10046"));
    }

    #[test]
    fn revoked_are_the_tokens_until_then_and_no_others() {
        let tokens = tokens();
        let before = tokens.issue("client", AUDIENCE, CredentialKind::Secret).unwrap().token;
        tokens.revoke_all("next".into());
        assert!(tokens.check(&before, AUDIENCE).err().unwrap().contains("TokenRevoked"));
        assert!(
            tokens
                .check(&tokens.issue("client", AUDIENCE, CredentialKind::Secret).unwrap().token, AUDIENCE)
                .is_ok()
        );
    }
}
