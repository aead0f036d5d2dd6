//! Key operations behind one trait, and the call engine around them.
//!
//! `azure` implements the trait with the Azure SDK; the benchmark implements it in process.
//! Used by the `KeyVaultActor`. Knows neither gRPC nor the SDK.

mod description;
mod engine;
mod error;
mod token;

use async_trait::async_trait;

pub(crate) use description::KeyDescription;
pub(crate) use engine::{
    DecryptJob, EncryptJob, Engine, Priority, PriorityQueue, QueuePermit, RateLimitView, SharedState,
};
pub(crate) use error::{Failure, VaultError};
pub(crate) use token::{
    RefreshFailure, RejectedTokens, Token, TokenError, TokenReader, TokenSource, TokenState,
};

use crate::kms::{Algorithm, Decrypted, Encrypted, KeyVersion, KmsError, Plaintext, Receipt};

/// The operations of Key Vault that this plugin uses. One call is one attempt: no retry, no waiting for a token.
#[async_trait]
pub(crate) trait Vault: Send + Sync {
    /// Encrypts with that key version and no other (`POST /keys/{name}/{version}/encrypt`).
    async fn encrypt(
        &self,
        key: &KeyVersion,
        algorithm: Algorithm,
        plaintext: &Plaintext,
    ) -> Result<EncryptResult, VaultError>;

    /// Decrypts with that key version and no other (`POST /keys/{name}/{version}/decrypt`).
    async fn decrypt(
        &self,
        key: &KeyVersion,
        algorithm: Algorithm,
        ciphertext: &[u8],
    ) -> Result<Decrypted, VaultError>;

    /// The size of the RSA modulus of that key version in bytes (`GET /keys/{name}/{version}`).
    async fn modulus(&self, key: &KeyVersion) -> Result<usize, VaultError>;
}

/// What the gRPC handlers ask for: whole operations, with everything that the call engine does.
#[async_trait]
pub(crate) trait KeyOperations: Send + Sync {
    /// Encrypts before the job's deadline.
    async fn encrypt(&self, job: EncryptJob) -> Result<Encrypted, KmsError>;

    /// Decrypts before the job's deadline.
    async fn decrypt(&self, job: DecryptJob) -> Result<Decrypted, KmsError>;
}

/// What Key Vault answers to encrypt.
#[derive(Clone, Debug)]
pub(crate) struct EncryptResult {
    /// The URL of the key version that was used.
    pub kid: String,
    /// The ciphertext's bytes.
    pub value: Vec<u8>,
    /// Where and when.
    pub receipt: Receipt,
}
