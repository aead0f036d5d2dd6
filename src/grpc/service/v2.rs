//! KMS v2 (`v2.KeyManagementService`): RSA-OAEP-256, a key_id and annotations.

use std::collections::HashMap;
use std::sync::Arc;

use tonic::{Request, Response, Status, async_trait};

use super::backend::Backend;
use super::request_context::RequestContext;
use crate::kms::{Algorithm, Api, KmsError, Method, Receipt};
use crate::proto::v2::key_management_service_server::KeyManagementService;
use crate::proto::v2::{
    DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, StatusRequest, StatusResponse,
};

/// The Go plugin's version string; a change would make a running kube-apiserver refuse the plugin.
const VERSION: &str = "v2beta1";
const ALGORITHM: Algorithm = Algorithm::RsaOaep256;

const DATE: &str = "date.azure.akv.io";
const REQUEST_ID: &str = "x-ms-request-id.azure.akv.io";
const REGION: &str = "x-ms-keyvault-region.azure.akv.io";
const FORMAT: &str = "version.azure.akv.io";
const ALGORITHM_USED: &str = "algorithm.azure.akv.io";
/// The only format of ciphertexts.
const FORMAT_1: &str = "1";

/// The v2 service.
pub(crate) struct V2(Arc<Backend>);

impl V2 {
    /// Makes the service on that backend.
    pub(crate) fn new(backend: Arc<Backend>) -> Self {
        Self(backend)
    }

    /// Returns the response of Status. One with a key_id extends kube-apiserver's write lease, whatever its healthz
    /// says.
    ///
    /// # Errors
    /// The outage's error, when the policy allows no key_id; a probe always gets one.
    async fn status_response(&self, context: RequestContext) -> Result<StatusResponse, KmsError> {
        let report = self.0.health(context.deadline).await;
        if !context.is_probe
            && let Some(outage) = report.outage()
        {
            self.0.status_policy.check(&outage)?;
        }
        let healthz = report.problem().unwrap_or_else(|| "ok".into());
        let key_id = self.0.ring.current().id.as_str().into();
        Ok(StatusResponse { version: VERSION.into(), healthz, key_id })
    }
}

#[async_trait]
impl KeyManagementService for V2 {
    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let respond = |_, context| self.status_response(context);
        self.0.run(Api::V2, Method::Status, "", request, respond).await
    }

    async fn encrypt(&self, request: Request<EncryptRequest>) -> Result<Response<EncryptResponse>, Status> {
        let (backend, uid) = (&self.0, request.get_ref().uid.clone());
        let encrypt = |request: EncryptRequest, context| async move {
            let key = backend.ring.current();
            let encrypted = backend.encrypt(key, ALGORITHM, request.plaintext, context).await?;
            let key_id = key.id.as_str().to_owned();
            Ok(EncryptResponse {
                ciphertext: encrypted.ciphertext,
                key_id,
                annotations: annotations(encrypted.receipt),
            })
        };
        backend.run(Api::V2, Method::Encrypt, &uid, request, encrypt).await
    }

    async fn decrypt(&self, request: Request<DecryptRequest>) -> Result<Response<DecryptResponse>, Status> {
        let (backend, uid) = (&self.0, request.get_ref().uid.clone());
        let decrypt = |request: DecryptRequest, context: RequestContext| async move {
            let key = backend.ring.find(&request.key_id)?;
            context.audit.set_key_id(&key.id);
            check(&request.annotations)?;
            let plaintext = backend.decrypt(key, ALGORITHM, &request.ciphertext, context).await?;
            Ok(DecryptResponse { plaintext })
        };
        backend.run(Api::V2, Method::Decrypt, &uid, request, decrypt).await
    }
}

fn annotations(receipt: Receipt) -> HashMap<String, Vec<u8>> {
    [
        (DATE, receipt.date),
        (REQUEST_ID, receipt.request_id),
        (REGION, receipt.region),
        (FORMAT, FORMAT_1.to_owned()),
        (ALGORITHM_USED, ALGORITHM.as_str().to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.into_bytes()))
    .collect()
}

/// Checks the annotations as the Go plugin does before it decrypts.
///
/// # Errors
/// `InvalidArgument` when there are none, or when the algorithm or the format is missing or another one.
fn check(annotations: &HashMap<String, Vec<u8>>) -> Result<(), KmsError> {
    if annotations.is_empty() {
        return Err(KmsError::invalid("the request has no annotations: it was not sealed by this plugin"));
    }
    for (name, expected) in [(ALGORITHM_USED, ALGORITHM.as_str()), (FORMAT, FORMAT_1)] {
        match annotations.get(name) {
            None => return Err(KmsError::invalid(format!("the annotation {name} is missing"))),
            Some(value) if value != expected.as_bytes() => {
                return Err(KmsError::invalid(format!("the annotation {name} is not {expected:?}")));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_annotations_pass_our_own_checks() {
        assert_eq!(check(&annotations(Receipt::default())), Ok(()));
    }

    #[test]
    fn missing_and_other_annotations_are_refused_by_name() {
        assert!(check(&HashMap::new()).unwrap_err().message.contains("no annotations"));
        for (name, other) in [(ALGORITHM_USED, "RSA1_5"), (FORMAT, "2")] {
            let mut changed = annotations(Receipt::default());
            changed.insert(name.into(), other.into());
            assert!(check(&changed).unwrap_err().message.contains(name));
            changed.remove(name);
            assert!(check(&changed).unwrap_err().message.contains("missing"));
        }
    }
}
