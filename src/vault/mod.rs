//! Key operations behind one trait, and the call engine around them.
//!
//! `azure` implements the trait with the Azure SDK; the benchmark implements it in process.
//! Used by the `KeyVaultActor`. Knows neither gRPC nor the SDK.

mod breaker;
mod coalesce;
mod description;
mod engine;
mod error;
mod history;
mod lanes;
mod latency;
mod limiter;
mod queue;
mod tap;
mod token;
mod traffic;

use async_trait::async_trait;

pub(crate) use description::KeyDescription;
pub(crate) use engine::{Engine, Open, Seal};
pub(crate) use error::{Failure, VaultError};
pub(crate) use lanes::Connect;
pub(crate) use limiter::{Limiter, RateLimit};
pub(crate) use queue::{Priority, Queue, Turn};
pub(crate) use token::{RejectedTokens, Token, TokenError, TokenReader, TokenState, Trouble};
pub(crate) use traffic::Traffic;

use crate::kms::{Algorithm, KeyVersion, KmsError, Opened, Plaintext, Receipt, Sealed};

/// The operations of Key Vault that this plugin uses. One call is one attempt: no retry, no waiting for a token.
#[async_trait]
pub(crate) trait Vault: Send + Sync {
    /// Encrypts with that key version and no other (`POST /keys/{name}/{version}/encrypt`).
    async fn encrypt(
        &self,
        key: &KeyVersion,
        algorithm: Algorithm,
        plaintext: &Plaintext,
    ) -> Result<Encrypted, VaultError>;

    /// Decrypts with that key version and no other (`POST /keys/{name}/{version}/decrypt`).
    async fn decrypt(
        &self,
        key: &KeyVersion,
        algorithm: Algorithm,
        ciphertext: &[u8],
    ) -> Result<Opened, VaultError>;

    /// The size of the RSA modulus of that key version in bytes (`GET /keys/{name}/{version}`).
    async fn modulus(&self, key: &KeyVersion) -> Result<usize, VaultError>;
}

/// What the gRPC handlers ask for: whole operations, with everything that the call engine does.
#[async_trait]
pub(crate) trait KeyOperations: Send + Sync {
    /// Seals before the job's deadline.
    async fn seal(&self, job: Seal) -> Result<Sealed, KmsError>;

    /// Opens before the job's deadline.
    async fn open(&self, job: Open) -> Result<Opened, KmsError>;
}

/// What Key Vault answers to encrypt.
#[derive(Clone, Debug)]
pub(crate) struct Encrypted {
    /// The URL of the key version that was used.
    pub kid: String,
    /// The ciphertext's bytes.
    pub value: Vec<u8>,
    /// Where and when.
    pub receipt: Receipt,
}
