//! KMS v1 (`v1beta1.KeyManagementService`): RSA1_5, and neither key_id nor uid on the wire.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tonic::{Request, Response, Status, async_trait};

use super::Backend;
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
pub(crate) struct V1 {
    backend: Arc<Backend>,
    requests: AtomicU64,
}

impl V1 {
    /// The service on that backend.
    pub(crate) fn new(backend: Arc<Backend>) -> Self {
        Self { backend, requests: AtomicU64::new(1) }
    }

    /// v1 clients send no uid, so that its requests can be told apart in the log they get a number.
    fn uid(&self) -> String {
        format!("v1-{}", self.requests.fetch_add(1, Ordering::Relaxed))
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
        self.backend.run("v1", Method::Version, &self.uid(), request, |_, _| async { Ok(answer) }).await
    }

    async fn encrypt(&self, request: Request<EncryptRequest>) -> Result<Response<EncryptResponse>, Status> {
        let backend = &self.backend;
        let seal = |request: EncryptRequest, deadline| async move {
            let sealed = backend.seal(backend.ring.current(), ALGORITHM, request.plain, deadline).await?;
            Ok(EncryptResponse { cipher: sealed.ciphertext })
        };
        backend.run("v1", Method::Encrypt, &self.uid(), request, seal).await
    }

    async fn decrypt(&self, request: Request<DecryptRequest>) -> Result<Response<DecryptResponse>, Status> {
        let backend = &self.backend;
        let open = |request: DecryptRequest, deadline| async move {
            let plain = backend.open(backend.ring.current(), ALGORITHM, &request.cipher, deadline).await?;
            Ok(DecryptResponse { plain })
        };
        backend.run("v1", Method::Decrypt, &self.uid(), request, open).await
    }
}
