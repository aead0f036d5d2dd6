//! What the `HealthActor` asks of our own socket: the seam between its timer and gRPC.

use async_trait::async_trait;

use crate::kms::{Api, KmsError};

/// A client of our own socket.
#[async_trait]
pub(crate) trait SocketClient: Send {
    /// v1 Version. An error says what failed.
    async fn version(&mut self) -> Result<(), KmsError>;
    /// v2 Status. An error says what failed.
    async fn status(&mut self) -> Result<(), KmsError>;
    /// Encrypt and Decrypt of fresh random bytes, compared byte for byte. An error says what failed.
    async fn round_trip(&mut self, api: Api) -> Result<(), KmsError>;
}
