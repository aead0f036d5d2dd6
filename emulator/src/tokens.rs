//! Access tokens: JWTs (RFC 7519) signed with RS256, and checked for everything Key Vault checks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Error;
use crate::ids::{object_id, random_hex};
use crate::jwt;
use crate::rsa::RsaKey;
use crate::stats::Credential;

const DEFAULT_LIFETIME_S: u64 = 3600;
/// What Key Vault says when there is no token.
pub(crate) const MISSING: &str = "AKV10000: Request is missing a Bearer or PoP token.";
/// What Key Vault says to an old token.
pub(crate) const EXPIRED: &str = "[TokenExpired] Error validating token: 'S2S12086'.";

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
    /// The same as an object of the directory.
    pub oid: String,
    sub: String,
    pub tid: String,
    idp: String,
    uti: String,
    ver: String,
    /// Only for who issues it: the epoch.
    #[serde(default)]
    aio: String,
}

/// Issues and checks tokens.
pub(crate) struct Tokens {
    key: RsaKey,
    tenant: String,
    /// Every token carries it; those of another one are revoked.
    epoch: Mutex<String>,
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
    pub(crate) fn new(key: RsaKey, tenant: String, epoch: String) -> Self {
        Self { key, tenant, epoch: Mutex::new(epoch), lifetime_s: AtomicU64::new(DEFAULT_LIFETIME_S) }
    }

    pub(crate) fn set_lifetime(&self, lifetime: Duration) {
        self.lifetime_s.store(lifetime.as_secs(), Ordering::SeqCst);
    }

    /// Begins another epoch, which no token has yet.
    pub(crate) fn revoke_all(&self, epoch: String) {
        *self.lock_epoch() = epoch;
    }

    pub(crate) fn epoch(&self) -> String {
        self.lock_epoch().clone()
    }

    fn lock_epoch(&self) -> MutexGuard<'_, String> {
        self.epoch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A token for that application.
    pub(crate) fn issue(
        &self,
        client_id: &str,
        audience: &str,
        credential: Credential,
    ) -> Result<Issued, Error> {
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
            appidacr: if credential == Credential::Secret { "1" } else { "2" }.into(),
            oid: object_id(client_id),
            sub: object_id(client_id),
            tid: self.tenant.clone(),
            idp: issuer,
            uti: random_hex(16)?,
            ver: "1.0".into(),
            aio: self.epoch(),
        };
        Ok(Issued { token: self.sign(&json!(claims))?, not_before: now, expires_on })
    }

    fn sign(&self, claims: &Value) -> Result<String, Error> {
        jwt::sign(&self.key, "emulator", claims)
    }

    /// Whose token it is, if it is for that audience.
    ///
    /// # Errors
    /// What Key Vault says to a token it does not accept.
    pub(crate) fn check(&self, token: &str, audience: &str) -> Result<Claims, String> {
        let claims = self.read(token)?;
        let issuer = self.issuer();
        if claims.aud != audience {
            return Err(format!("AKV10022: Invalid audience. Expected {audience}, found: {}.", claims.aud));
        }
        if claims.iss != issuer {
            return Err(format!("AKV10032: Invalid issuer. Expected one of {issuer}, found {}.", claims.iss));
        }
        match claims.aio == self.epoch() {
            true => Ok(claims),
            false => Err("[TokenRevoked] Error validating token: 'S2S12005'.".into()),
        }
    }

    /// The claims, when signature and time are right. Audience and issuer are left to who can say what was found.
    fn read(&self, token: &str) -> Result<Claims, String> {
        let mut validation = Validation::new(Algorithm::RS256);
        validation.leeway = 0;
        validation.validate_nbf = true;
        validation.validate_aud = false;
        let checked = jsonwebtoken::decode::<Claims>(token, &jwt::public(&self.key), &validation);
        Ok(checked.map_err(|error| refusal(&error))?.claims)
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

fn refusal(error: &jsonwebtoken::errors::Error) -> String {
    use jsonwebtoken::errors::ErrorKind;
    let text = match error.kind() {
        ErrorKind::ExpiredSignature => EXPIRED,
        ErrorKind::InvalidSignature => "AKV10046: Unable to resolve the key used for signature validation.",
        _ => MISSING,
    };
    text.into()
}

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

    /// What `tokens` says to an issued token whose claims are changed before they are signed again.
    fn refusal_of(tokens: &Tokens, change: impl FnOnce(&mut Value)) -> String {
        let issued = tokens.issue("client", AUDIENCE, Credential::Secret).unwrap().token;
        let mut claims = json!(tokens.read(&issued).unwrap());
        change(&mut claims);
        tokens.check(&tokens.sign(&claims).unwrap(), AUDIENCE).err().unwrap()
    }

    #[test]
    fn an_issued_token_is_accepted_and_names_its_client() {
        let tokens = tokens();
        let issued = tokens.issue("client", AUDIENCE, Credential::Secret).unwrap();
        assert_eq!(tokens.check(&issued.token, AUDIENCE).unwrap().appid, "client");
        assert_eq!(issued.expires_in(), 3600);
    }

    #[test]
    fn a_token_that_says_something_wrong_is_refused_with_what_was_found() {
        let refusal = |claim: &str, value: Value| refusal_of(&tokens(), |claims| claims[claim] = value);
        assert_eq!(
            refusal("aud", json!("https://vault.azure.net/")),
            "AKV10022: Invalid audience. Expected https://vault.azure.net, found: https://vault.azure.net/."
        );
        assert_eq!(
            refusal("iss", json!("https://sts.windows.net/other/")),
            "AKV10032: Invalid issuer. Expected one of https://sts.windows.net/tenant/, \
             found https://sts.windows.net/other/."
        );
        assert_eq!(refusal("exp", json!(now() - 1)), EXPIRED);
        assert_eq!(refusal("nbf", json!(now() + 60)), MISSING);
    }

    #[test]
    fn a_token_that_is_none_or_of_another_key_is_refused() {
        let tokens = tokens();
        assert_eq!(tokens.check("rubbish", AUDIENCE).err().unwrap(), MISSING);
        let foreign = Tokens::new(RsaKey::generate(2048).unwrap(), "tenant".into(), "epoch".into());
        let foreign = foreign.issue("client", AUDIENCE, Credential::Secret).unwrap().token;
        assert!(tokens.check(&foreign, AUDIENCE).err().unwrap().starts_with("AKV10046"));
    }

    #[test]
    fn revoked_are_the_tokens_until_then_and_no_others() {
        let tokens = tokens();
        let before = tokens.issue("client", AUDIENCE, Credential::Secret).unwrap().token;
        tokens.revoke_all("next".into());
        assert!(tokens.check(&before, AUDIENCE).err().unwrap().contains("TokenRevoked"));
        assert!(
            tokens
                .check(&tokens.issue("client", AUDIENCE, Credential::Secret).unwrap().token, AUDIENCE)
                .is_ok()
        );
    }
}
