//! The cluster's OIDC issuer: service account tokens for federated credentials (workload identity).

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::Error;
use crate::ids::random_hex;
use crate::jwt;
use crate::rsa::RsaKey;
use crate::tokens::now;

/// The URL of the issuer: the tokens' `iss` claim.
pub const ISSUER: &str = "https://oidc.emulator.test/";

/// A token to be issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FederatedToken {
    /// Its `sub` claim, such as `system:serviceaccount:kube-system:kms`.
    pub subject: String,
    /// Its `aud` claim; by default that of Entra ID's token exchange.
    #[serde(default = "exchange")]
    pub audience: String,
    /// Its lifetime in seconds, by default an hour; 0 makes an expired one.
    #[serde(default = "an_hour")]
    pub lifetime_s: u64,
}

impl FederatedToken {
    /// Describes a token of that subject, valid for an hour, for exchange at Entra ID.
    pub fn of(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), audience: exchange(), lifetime_s: an_hour() }
    }

    /// Signs it as Kubernetes does: the audience is a list.
    ///
    /// # Errors
    /// The cryptographic library fails.
    pub(crate) fn sign(&self, key: &RsaKey) -> Result<String, Error> {
        let now = now();
        let claims = json!({
            "iss": ISSUER, "sub": self.subject, "aud": [self.audience], "jti": random_hex(16)?,
            "iat": now, "nbf": now, "exp": now.saturating_add(self.lifetime_s),
        });
        jwt::sign(key, "emulator-oidc", &claims)
    }
}

fn exchange() -> String {
    "api://AzureADTokenExchange".into()
}

fn an_hour() -> u64 {
    3600
}
