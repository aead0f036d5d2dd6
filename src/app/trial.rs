//! The trial of a new access: a token from its issuer, and one round trip with the key.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::actors::CredentialCheck;
use crate::azure::{AzureTokenSource, AzureVault};
use crate::config::{Access, Cloud, Config};
use crate::kms::{Algorithm, KeyRing, Plaintext};
use crate::vault::{RejectedTokens, Token, TokenReader, TokenSource, TokenState, Vault, VaultError};

/// How long the token, and how long the round trip, may take.
const STEP: Duration = Duration::from_secs(10);

/// Tries with the daemon's own key.
pub(super) struct AzureCredentialCheck {
    config: Arc<Config>,
    cloud: Cloud,
    ring: Arc<KeyRing>,
}

impl AzureCredentialCheck {
    pub(super) fn new(config: Arc<Config>, cloud: Cloud, ring: Arc<KeyRing>) -> Self {
        Self { config, cloud, ring }
    }

    async fn token(&self, access: &Access) -> Result<Token, String> {
        let source = AzureTokenSource::new(access, &self.config.key.resource, self.config.assertion)?;
        let fetched = timeout(STEP, source.fetch(0)).await;
        let token = fetched.map_err(|_| access.credential.no_answer(STEP))?;
        token.map_err(|error| match error.cause {
            Some(cause) => format!("{}: {cause}", error.message),
            None => error.message,
        })
    }

    /// A client of its own, so that nothing of the one in use is at stake.
    async fn round_trip(&self, access: &Access, token: &Token) -> Result<(), String> {
        let token = token.clone().renumbered(1);
        let state =
            watch::channel(TokenState { token: Some(token), refresh_failure: None, credential_number: 0 }).1;
        let tokens = TokenReader::new(state, RejectedTokens::none());
        let vault = AzureVault::new(&self.config.key, &access.network, tokens)?;
        let tried = timeout(STEP, self.seal_and_open(&vault)).await;
        tried.map_err(|_| format!("no answer of Key Vault within {} s", STEP.as_secs()))?
    }

    async fn seal_and_open(&self, vault: &dyn Vault) -> Result<(), String> {
        let key = self.ring.current();
        let said = |error: VaultError| error.with_cause();
        let probe = Plaintext::new(b"azure-kms-provider reload probe".to_vec());
        let sealed = vault.encrypt(key, Algorithm::RsaOaep256, &probe).await.map_err(said)?;
        let opened = vault.decrypt(key, Algorithm::RsaOaep256, &sealed.value).await.map_err(said)?;
        match opened.plaintext.expose() == probe.expose() {
            true => Ok(()),
            false => Err("Key Vault does not give back what it encrypted".into()),
        }
    }
}

#[async_trait]
impl CredentialCheck for AzureCredentialCheck {
    async fn run(&self, access: &Access) -> Result<Token, String> {
        if access.cloud != self.cloud {
            return Err("the cloud has changed, and with it the vault: restart the plugin for that".into());
        }
        let token = self.token(access).await?;
        self.round_trip(access, &token).await?;
        Ok(token)
    }
}
