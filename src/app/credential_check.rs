//! The check of a new credential before it is used: a token from its issuer, and one round trip with the key.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::actors::CredentialCheck;
use crate::azure::{AzureTokenSource, AzureVault, Connector};
use crate::config::{Access, Cloud, Config};
use crate::kms::{Algorithm, KeyRing, Plaintext};
use crate::vault::{RejectedTokens, Token, TokenReader, TokenSource, TokenState, Vault, VaultError};

/// The time limit of the token, and that of the round trip.
const STEP: Duration = Duration::from_secs(10);

/// A check with the daemon's own key.
pub(super) struct AzureCredentialCheck {
    config: Arc<Config>,
    cloud: Cloud,
    ring: Arc<KeyRing>,
}

impl AzureCredentialCheck {
    pub(super) fn new(config: Arc<Config>, cloud: Cloud, ring: Arc<KeyRing>) -> Self {
        Self { config, cloud, ring }
    }

    /// Fetches a token with the new credential.
    ///
    /// # Errors
    /// Entra ID or IMDS refuses it, cannot be reached, or does not answer within [`STEP`].
    async fn token(&self, access: &Access) -> Result<Token, String> {
        let source = AzureTokenSource::new(access, &self.config.key.resource, self.config.assertion)?;
        let fetched = timeout(STEP, source.fetch(0)).await;
        let token = fetched.map_err(|_| access.credential.no_answer(STEP))?;
        token.map_err(|error| match error.cause {
            Some(cause) => format!("{}: {cause}", error.message),
            None => error.message,
        })
    }

    /// Encrypts and decrypts with a client of its own, so that the one in use is not put at risk.
    ///
    /// # Errors
    /// No client can be built, Key Vault refuses, does not answer in time, or returns another plaintext.
    async fn round_trip(&self, access: &Access, token: &Token) -> Result<(), String> {
        let token = token.clone().renumbered(1);
        let state =
            watch::channel(TokenState { token: Some(token), refresh_failure: None, credential_number: 0 }).1;
        let tokens = TokenReader::new(state, RejectedTokens::none());
        let vault = AzureVault::new(&self.config.key, &access.network, &Connector::default(), tokens)?;
        let checked = timeout(STEP, self.encrypt_and_decrypt(&vault)).await;
        checked.map_err(|_| format!("no answer of Key Vault within {} s", STEP.as_secs()))?
    }

    /// Encrypts a probe and decrypts it again.
    ///
    /// # Errors
    /// Key Vault refuses one of the two operations, or returns another plaintext.
    async fn encrypt_and_decrypt(&self, vault: &dyn Vault) -> Result<(), String> {
        let key = self.ring.current();
        let explain = |error: VaultError| error.with_cause();
        let plaintext = Plaintext::new(b"azure-kms-provider reload probe".to_vec());
        let encrypted = vault.encrypt(key, Algorithm::RsaOaep256, &plaintext).await.map_err(explain)?;
        let decrypted = vault.decrypt(key, Algorithm::RsaOaep256, &encrypted.value).await.map_err(explain)?;
        if decrypted.plaintext.expose() == plaintext.expose() {
            Ok(())
        } else {
            Err("Key Vault does not give back what it encrypted".into())
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
