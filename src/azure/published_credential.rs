//! The way out of tokens: hands the published one to the SDK's Key Vault client. Never waits, never calls anybody.

use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;

use crate::vault::TokenReader;

/// The SDK keeps a token that is valid for longer than 5 minutes, and would go on with one that was replaced. For less
/// than that it asks for each request.
const ASK_AGAIN: Duration = Duration::from_secs(240);

/// Hands the SDK's Key Vault client whatever the `TokenActor` published last.
pub(crate) struct PublishedCredential {
    tokens: TokenReader,
    scope: String,
}

impl PublishedCredential {
    /// Gives tokens for `resource` only.
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
        let refuse = |why| Err(azure_core::Error::new(ErrorKind::Credential, why));
        if scopes != [self.scope.as_str()] {
            return refuse(Refusal::OtherResource);
        }
        match self.tokens.latest() {
            Some(token) => {
                let until = token.expires_on.min(SystemTime::now() + ASK_AGAIN);
                Ok(AccessToken::new(token.expose().to_owned(), until.into()))
            }
            None => refuse(Refusal::NoToken),
        }
    }
}

/// Why [`PublishedCredential`] gives no token. Carried through the SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The published token was rejected or expired after the call had begun.
    #[error("there is no valid token now")]
    NoToken,
    /// The challenge names a resource that is not the vault's.
    #[error("the challenge asks for a token of another resource")]
    OtherResource,
}
