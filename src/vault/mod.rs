//! Key operations behind one trait, [`Vault`], and the call engine around them.
//!
//! `azure` implements the trait with the Azure SDK, `benchmark` in process. Used by the `KeyVaultActor`. Knows neither
//! gRPC nor the SDK.

mod description;
mod engine;
mod error;
mod operations;
mod token;

use async_trait::async_trait;

pub(crate) use description::KeyDescription;
pub(crate) use engine::{Engine, Priority, PriorityQueue, QueuePermit, RateLimitView, SharedState};
use error::{Availability, Retry};
pub(crate) use error::{Failure, VaultError};
pub(crate) use operations::{DecryptJob, EncryptJob, KeyOperations};
pub(crate) use token::{
    RefreshFailure, RejectedTokens, Token, TokenError, TokenReader, TokenSource, TokenState,
};

use crate::kms::{Algorithm, Decrypted, KeyVersion, Plaintext, Receipt};

/// The operations of the Key Vault REST API that this plugin uses. One call is one attempt: it neither retries nor waits
/// for a token.
#[async_trait]
pub(crate) trait Vault: Send + Sync {
    /// Encrypts with exactly that key version (`POST /keys/{name}/{version}/encrypt`).
    ///
    /// # Errors
    /// Key Vault refuses, fails or cannot be reached, its response is malformed, or there is no valid token.
    async fn encrypt(
        &self,
        key: &KeyVersion,
        algorithm: Algorithm,
        plaintext: &Plaintext,
    ) -> Result<EncryptResult, VaultError>;

    /// Decrypts with exactly that key version (`POST /keys/{name}/{version}/decrypt`).
    ///
    /// # Errors
    /// As [`Self::encrypt`].
    async fn decrypt(
        &self,
        key: &KeyVersion,
        algorithm: Algorithm,
        ciphertext: &[u8],
    ) -> Result<Decrypted, VaultError>;

    /// Reads the size of the RSA modulus of that key version in bytes (`GET /keys/{name}/{version}`).
    ///
    /// # Errors
    /// As [`Self::encrypt`]; also when the key is not an RSA key.
    async fn modulus_len(&self, key: &KeyVersion) -> Result<usize, VaultError>;
}

/// The response of Key Vault to an encrypt call (`KeyOperationResult`).
#[derive(Clone, Debug)]
pub(crate) struct EncryptResult {
    /// The URL of the key version that encrypted.
    pub kid: String,
    /// The ciphertext's bytes.
    pub value: Vec<u8>,
    /// The headers that become annotations.
    pub receipt: Receipt,
}
