//! Whole key operations: the jobs of the call engine, and the trait through which the gRPC handlers submit them.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use super::Priority;
use crate::kms::{Algorithm, Decrypted, Encrypted, KeyVersion, KmsError, Plaintext};

/// A plaintext to encrypt under that key version before the deadline.
#[derive(Clone, Debug)]
pub(crate) struct EncryptJob {
    /// The key version to use.
    pub key: Arc<KeyVersion>,
    /// The padding scheme.
    pub algorithm: Algorithm,
    /// The plaintext.
    pub plaintext: Plaintext,
    /// The priority in the queue.
    pub priority: Priority,
    /// The time at which the caller stops waiting.
    pub deadline: Instant,
}

/// A ciphertext to decrypt with that key version before the deadline.
#[derive(Clone, Debug)]
pub(crate) struct DecryptJob {
    /// The key version to use.
    pub key: Arc<KeyVersion>,
    /// The padding scheme.
    pub algorithm: Algorithm,
    /// The ciphertext, as Key Vault returned it.
    pub ciphertext: Arc<Vec<u8>>,
    /// The priority in the queue.
    pub priority: Priority,
    /// The time at which the caller stops waiting.
    pub deadline: Instant,
}

/// Whole operations, with the limits and retries of the call engine, for the gRPC handlers.
#[async_trait]
pub(crate) trait KeyOperations: Send + Sync {
    /// Encrypts before the job's deadline.
    ///
    /// # Errors
    /// The operation cannot succeed before the deadline; the error names the cause.
    async fn encrypt(&self, job: EncryptJob) -> Result<Encrypted, KmsError>;

    /// Decrypts before the job's deadline.
    ///
    /// # Errors
    /// As [`Self::encrypt`].
    async fn decrypt(&self, job: DecryptJob) -> Result<Decrypted, KmsError>;
}
