//! The requests of the `HealthActor` to our own socket, as a trait: tests of its timer need no gRPC.

use async_trait::async_trait;

use crate::kms::{Api, KmsError};

/// A client of our own socket.
#[async_trait]
pub(crate) trait SocketClient: Send {
    /// Calls v1 Version.
    ///
    /// # Errors
    /// The call fails, or answers another version; the message says which.
    async fn version(&mut self) -> Result<(), KmsError>;
    /// Calls v2 Status.
    ///
    /// # Errors
    /// The call fails, or answers without a key_id; the message says which.
    async fn status(&mut self) -> Result<(), KmsError>;
    /// Encrypts and decrypts fresh random bytes with that API, and compares them byte for byte.
    ///
    /// # Errors
    /// One of the two calls fails, or the bytes differ; the message says which.
    async fn round_trip(&mut self, api: Api) -> Result<(), KmsError>;
}
