//! An assertion: a JWT (RFC 7519) whose claims are read before they are checked.

use jsonwebtoken::Header;
use serde_json::Value;

use super::error::EntraError;
use crate::jwt;
use crate::tokens::now;

/// The longest lifetime that is left to an assertion. That it is refused with 700024 is by analogy.
const MAX_LIFETIME_S: u64 = 24 * 3600;

/// An assertion that is not checked yet.
pub(super) struct Assertion<'a> {
    /// The JWT.
    pub(super) token: &'a str,
    /// Its header.
    pub(super) header: Header,
    /// Its claims: an object.
    claims: Value,
}

impl<'a> Assertion<'a> {
    /// Decodes header and claims.
    ///
    /// # Errors
    /// It is no JWT, or its claims are no object.
    pub(super) fn parse(token: &'a str) -> Result<Self, EntraError> {
        let (header, claims) = jwt::read(token).ok_or_else(|| malformed("It cannot be read."))?;
        Ok(Self { token, header, claims })
    }

    /// Returns a claim that is a string; empty when there is none.
    pub(super) fn claim(&self, name: &str) -> &str {
        self.claims[name].as_str().unwrap_or_default()
    }

    /// Returns the audiences: `aud` is a string or a list of strings.
    pub(super) fn audiences(&self) -> Vec<&str> {
        match &self.claims["aud"] {
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        }
    }

    /// Checks `nbf` and `exp` against this machine's clock.
    ///
    /// # Errors
    /// It has no `exp`, is not valid now, or stays valid for more than a day.
    pub(super) fn check_time(&self) -> Result<(), EntraError> {
        let expires = self.claims["exp"].as_u64().ok_or_else(|| malformed("It has no exp."))?;
        let (now, from) = (now(), self.claims["nbf"].as_u64().unwrap_or(0));
        if from <= now && now < expires && expires <= now + MAX_LIFETIME_S {
            Ok(())
        } else {
            Err(outside_validity(now, from, expires))
        }
    }
}

/// Returns the error for a malformed assertion. The real service says which part is wrong; the parts' texts are by
/// analogy.
pub(super) fn malformed(why: &str) -> EntraError {
    EntraError::invalid_request(50_027, format!("JWT token is invalid or malformed. {why}"))
}

/// Returns the error for an assertion that is not valid now, of times in Unix seconds.
fn outside_validity(now: u64, from: u64, expires: u64) -> EntraError {
    let [now, from, expires] = [now, from, expires].map(date);
    let text = format!(
        "Client assertion is not within its valid time range. Current time: {now}, assertion valid from {from}, \
         expiry time of assertion {expires}. Review the documentation at \
         https://learn.microsoft.com/entra/identity-platform/certificate-credentials ."
    );
    EntraError::invalid_client(700_024, text)
}

/// Formats Unix seconds as Entra ID does.
fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| chrono::DateTime::from_timestamp(seconds, 0));
    time.unwrap_or(chrono::DateTime::<chrono::Utc>::MAX_UTC).format("%Y-%m-%dT%H:%M:%S.0000000Z").to_string()
}
