//! KMS v1 (`v1beta1.KeyManagementService`): RSA1_5, and neither key_id nor uid on the wire.

use std::sync::Arc;

use tonic::{Request, Response, Status, async_trait};

use super::backend::Backend;
use crate::kms::{Algorithm, Api, Method};
use crate::proto::v1beta1::key_management_service_server::KeyManagementService;
use crate::proto::v1beta1::{
    DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, VersionRequest, VersionResponse,
};

/// The version that kube-apiserver's v1 client requires.
const VERSION: &str = "v1beta1";
const ALGORITHM: Algorithm = Algorithm::Rsa15;

/// The v1 service.
pub(crate) struct V1(Arc<Backend>);

impl V1 {
    /// Makes the service on that backend.
    pub(crate) fn new(backend: Arc<Backend>) -> Self {
        Self(backend)
    }
}

#[async_trait]
impl KeyManagementService for V1 {
    async fn version(&self, request: Request<VersionRequest>) -> Result<Response<VersionResponse>, Status> {
        let response = VersionResponse {
            version: VERSION.into(),
            runtime_name: "azure-kms-provider".into(),
            runtime_version: env!("CARGO_PKG_VERSION").into(),
        };
        self.0.run(Api::V1, Method::Version, "", request, |_, _| async { Ok(response) }).await
    }

    async fn encrypt(&self, request: Request<EncryptRequest>) -> Result<Response<EncryptResponse>, Status> {
        let backend = &self.0;
        let encrypt = |request: EncryptRequest, context| async move {
            let encrypted =
                backend.encrypt(backend.ring.current(), ALGORITHM, request.plain, context).await?;
            Ok(EncryptResponse { cipher: encrypted.ciphertext })
        };
        backend.run(Api::V1, Method::Encrypt, "", request, encrypt).await
    }

    async fn decrypt(&self, request: Request<DecryptRequest>) -> Result<Response<DecryptResponse>, Status> {
        let backend = &self.0;
        let decrypt = |request: DecryptRequest, context| async move {
            let plain = backend.decrypt(backend.ring.current(), ALGORITHM, &request.cipher, context).await?;
            Ok(DecryptResponse { plain })
        };
        backend.run(Api::V1, Method::Decrypt, "", request, decrypt).await
    }
}
