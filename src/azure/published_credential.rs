//! The credential of the SDK's Key Vault client: returns the published token. Never waits, and makes no request.

use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;

use crate::vault::TokenReader;

/// The longest remaining lifetime that is reported to the SDK. It would cache a token that is valid for more than 5
/// minutes, even after the `TokenActor` has replaced it; with less it asks for a token for each request.
const LONGEST_REPORTED_LIFETIME: Duration = Duration::from_secs(240);

/// A credential that returns the token published last by the `TokenActor`.
pub(crate) struct PublishedCredential {
    tokens: TokenReader,
    scope: String,
}

impl PublishedCredential {
    /// Creates a credential for `resource` only.
    pub(crate) fn new(tokens: TokenReader, resource: &str) -> Self {
        Self { tokens, scope: super::scope_of(resource) }
    }
}

impl fmt::Debug for PublishedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishedCredential").finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenCredential for PublishedCredential {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let refuse = |reason| Err(azure_core::Error::new(ErrorKind::Credential, reason));
        if scopes != [self.scope.as_str()] {
            return refuse(Refusal::OtherResource);
        }
        match self.tokens.latest() {
            Some(token) => {
                let until = token.expires_on.min(SystemTime::now() + LONGEST_REPORTED_LIFETIME);
                Ok(AccessToken::new(token.expose().to_owned(), until.into()))
            }
            None => refuse(Refusal::NoToken),
        }
    }
}

/// The reason why [`PublishedCredential`] returns no token, as an error of the SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The published token expired or was rejected after the call had begun.
    #[error("there is no valid token now")]
    NoToken,
    /// The authentication challenge names another resource than the vault's.
    #[error("the challenge asks for a token of another resource")]
    OtherResource,
}
