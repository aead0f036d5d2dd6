//! KMS v1 (`v1beta1.KeyManagementService`): RSA1_5, and neither key_id nor uid on the wire.

use std::sync::Arc;

use tonic::{Request, Response, Status, async_trait};

use super::Backend;
use crate::actors::Api;
use crate::kms::Algorithm;
use crate::proto::v1beta1::key_management_service_server::KeyManagementService;
use crate::proto::v1beta1::{
    DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, VersionRequest, VersionResponse,
};
use crate::telemetry::Method;

/// What kube-apiserver's v1 client insists on.
const VERSION: &str = "v1beta1";
const ALGORITHM: Algorithm = Algorithm::Rsa15;

/// The v1 service.
pub(crate) struct V1(Arc<Backend>);

impl V1 {
    /// The service on that backend.
    pub(crate) fn new(backend: Arc<Backend>) -> Self {
        Self(backend)
    }
}

#[async_trait]
impl KeyManagementService for V1 {
    async fn version(&self, request: Request<VersionRequest>) -> Result<Response<VersionResponse>, Status> {
        let answer = VersionResponse {
            version: VERSION.into(),
            runtime_name: "azure-kms-provider".into(),
            runtime_version: env!("CARGO_PKG_VERSION").into(),
        };
        self.0.run(Api::V1, Method::Version, "", request, |_, _| async { Ok(answer) }).await
    }

    async fn encrypt(&self, request: Request<EncryptRequest>) -> Result<Response<EncryptResponse>, Status> {
        let backend = &self.0;
        let seal = |request: EncryptRequest, caller| async move {
            let sealed = backend.seal(backend.ring.current(), ALGORITHM, request.plain, caller).await?;
            Ok(EncryptResponse { cipher: sealed.ciphertext })
        };
        backend.run(Api::V1, Method::Encrypt, "", request, seal).await
    }

    async fn decrypt(&self, request: Request<DecryptRequest>) -> Result<Response<DecryptResponse>, Status> {
        let backend = &self.0;
        let open = |request: DecryptRequest, caller| async move {
            let plain = backend.open(backend.ring.current(), ALGORITHM, &request.cipher, caller).await?;
            Ok(DecryptResponse { plain })
        };
        backend.run(Api::V1, Method::Decrypt, "", request, open).await
    }
}
