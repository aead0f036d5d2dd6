//! The cluster's OIDC issuer: tokens of service accounts, for federated credentials (workload identity).

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::Error;
use crate::ids::random_hex;
use crate::jwt;
use crate::rsa::RsaKey;
use crate::tokens::now;

/// Who issues the tokens.
pub const ISSUER: &str = "https://oidc.emulator.test/";

/// A token to be issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FederatedToken {
    /// Whom it names, such as `system:serviceaccount:kube-system:kms`.
    pub subject: String,
    /// What it is for.
    #[serde(default = "exchange")]
    pub audience: String,
    /// How long it is valid; 0 makes one that has ended.
    #[serde(default = "an_hour")]
    pub lifetime_s: u64,
}

impl FederatedToken {
    /// A token of that subject, for an hour, for exchange at Entra ID.
    pub fn of(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), audience: exchange(), lifetime_s: an_hour() }
    }

    /// In the form that Kubernetes gives it: the audience is a list.
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
