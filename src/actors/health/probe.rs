//! A gRPC client of our own socket, which calls it as kube-apiserver does.

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tower::service_fn;

use super::socket_client::SocketClient;
use crate::config::ListenAddr;
use crate::kms::{Api, Code, KmsError};
use crate::proto::{v1beta1, v2};

/// kube-apiserver's default timeout of a KMS call.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// The length of the plaintext of a round trip, in bytes: that of kube-apiserver's data keys.
const PROBE_LENGTH: usize = 32;

/// The header of our own probes: they give way to the requests of clients, and the policy for Status does not apply
/// to them. A client that sets it only harms itself.
pub(crate) const PROBE_HEADER: &str = "azure-kms-probe";

/// The header that names the kind of a failure in the answer to one of our own probes, so that it need not be parsed
/// from the message.
pub(crate) const KIND_HEADER: &str = "azure-kms-error-kind";

/// The reason why a call of Status has no answer.
#[derive(Debug)]
pub(crate) enum NoStatus {
    /// The daemon answered with an error, as it does to kube-apiserver.
    Refused(KmsError),
    /// The daemon was not reached, or did not answer in time.
    NoAnswer(KmsError),
}

/// A client of both services on one connection, which is made at the first call. Gets the same answers as
/// kube-apiserver.
#[derive(Clone)]
pub(crate) struct Probe {
    v1: v1beta1::key_management_service_client::KeyManagementServiceClient<Channel>,
    v2: v2::key_management_service_client::KeyManagementServiceClient<Channel>,
    timeout: Duration,
    is_our_own: bool,
}

impl Probe {
    /// Creates a probe of that socket, whose calls time out after `limit` or kube-apiserver's 3 s, whichever is
    /// shorter. Must be called on a runtime.
    pub(crate) fn new(socket: &ListenAddr, limit: Duration) -> Self {
        let socket = socket.clone();
        let connect = move |_| {
            let socket = socket.clone();
            async move {
                let connected = UnixStream::connect(socket.socket_path()).await;
                connected
                    .map(TokioIo::new)
                    .map_err(|error| NoConnection(format!("the socket {socket}: {error}")))
            }
        };
        let channel =
            Endpoint::from_static("http://localhost").connect_with_connector_lazy(service_fn(connect));
        Self {
            v1: v1beta1::key_management_service_client::KeyManagementServiceClient::new(channel.clone()),
            v2: v2::key_management_service_client::KeyManagementServiceClient::new(channel),
            timeout: limit.min(CALL_TIMEOUT),
            is_our_own: false,
        }
    }

    /// Returns the same probe with every request marked by [`PROBE_HEADER`].
    pub(crate) fn our_own(self) -> Self {
        Self { is_our_own: true, ..self }
    }

    /// Calls v2 Status, and returns its `healthz`: `ok`, or the problem.
    ///
    /// # Errors
    /// Status fails, or the daemon does not answer.
    pub(crate) async fn health(&mut self) -> Result<String, KmsError> {
        match self.ask_status().await {
            Ok(answer) => Ok(answer.healthz),
            Err(NoStatus::Refused(error) | NoStatus::NoAnswer(error)) => Err(error),
        }
    }

    /// Calls v2 Status, and returns the whole answer.
    ///
    /// # Errors
    /// `Refused` when Status fails, `NoAnswer` when the daemon does not answer.
    pub(crate) async fn ask_status(&mut self) -> Result<v2::StatusResponse, NoStatus> {
        let request = self.request(v2::StatusRequest {});
        let answer = self.v2.status(request).await.map_err(|status| {
            let error = problem("v2 Status", &status);
            // a status that the server sent has no source
            if status.source().is_none() { NoStatus::Refused(error) } else { NoStatus::NoAnswer(error) }
        })?;
        Ok(answer.into_inner())
    }

    /// Encrypts and decrypts with v1, and returns what was decrypted.
    ///
    /// # Errors
    /// Encrypt or Decrypt fails, or the daemon does not answer.
    async fn round_trip_v1(&mut self, plaintext: &[u8]) -> Result<Vec<u8>, KmsError> {
        let version = || "v1beta1".to_owned();
        let request = v1beta1::EncryptRequest { version: version(), plain: plaintext.to_vec() };
        let encrypted =
            self.v1.encrypt(self.request(request)).await.map_err(|s| problem("v1 Encrypt", &s))?;
        let request = v1beta1::DecryptRequest { version: version(), cipher: encrypted.into_inner().cipher };
        let decrypted =
            self.v1.decrypt(self.request(request)).await.map_err(|s| problem("v1 Decrypt", &s))?;
        Ok(decrypted.into_inner().plain)
    }

    /// Encrypts and decrypts with v2, and returns what was decrypted.
    ///
    /// # Errors
    /// Encrypt or Decrypt fails, or the daemon does not answer.
    async fn round_trip_v2(&mut self, plaintext: &[u8]) -> Result<Vec<u8>, KmsError> {
        let request = v2::EncryptRequest { plaintext: plaintext.to_vec(), uid: probe_uid() };
        let encrypted =
            self.v2.encrypt(self.request(request)).await.map_err(|s| problem("v2 Encrypt", &s))?;
        let v2::EncryptResponse { ciphertext, key_id, annotations } = encrypted.into_inner();
        let request = v2::DecryptRequest { ciphertext, uid: probe_uid(), key_id, annotations };
        let decrypted =
            self.v2.decrypt(self.request(request)).await.map_err(|s| problem("v2 Decrypt", &s))?;
        Ok(decrypted.into_inner().plaintext)
    }

    fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        if self.is_our_own {
            request.metadata_mut().insert(PROBE_HEADER, MetadataValue::from_static("1"));
        }
        request
    }
}

#[async_trait]
impl SocketClient for Probe {
    async fn version(&mut self) -> Result<(), KmsError> {
        let request = self.request(v1beta1::VersionRequest { version: "v1beta1".into() });
        let answer = self.v1.version(request).await.map_err(|status| problem("v1 Version", &status))?;
        match answer.into_inner().version.as_str() {
            "v1beta1" => Ok(()),
            other => Err(KmsError::internal(format!("Version answers {other:?}"))),
        }
    }

    // `healthz` comes from the report that this probe is for, so it is ignored
    async fn status(&mut self) -> Result<(), KmsError> {
        let request = self.request(v2::StatusRequest {});
        let answer = self.v2.status(request).await.map_err(|status| problem("v2 Status", &status))?;
        if answer.into_inner().key_id.is_empty() {
            return Err(KmsError::internal("Status answers without a key_id"));
        }
        Ok(())
    }

    async fn round_trip(&mut self, api: Api) -> Result<(), KmsError> {
        let mut plaintext = vec![0; PROBE_LENGTH];
        let random = aws_lc_rs::rand::fill(&mut plaintext);
        random.map_err(|_| KmsError::internal("no random bytes for the probe"))?;
        let decrypted = match api {
            Api::V1 => self.round_trip_v1(&plaintext).await?,
            Api::V2 => self.round_trip_v2(&plaintext).await?,
        };
        if decrypted == plaintext {
            Ok(())
        } else {
            Err(KmsError::internal("Decrypt does not give back what was encrypted"))
        }
    }
}

fn probe_uid() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    format!("health-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The error of a connection that could not be made, as opposed to one of a call.
#[derive(Debug)]
struct NoConnection(String);

impl fmt::Display for NoConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for NoConnection {}

fn problem(method: &str, status: &Status) -> KmsError {
    let mut sources = std::iter::successors(status.source(), |error| (**error).source());
    if let Some(NoConnection(reason)) = sources.find_map(|error| error.downcast_ref()) {
        return KmsError::new(Code::Unavailable, reason.clone());
    }
    let error = KmsError::new(
        kms_code(status.code()),
        format!("{method}: {} ({:?})", status.message(), status.code()),
    );
    match status.metadata().get(KIND_HEADER).and_then(|kind| kind.to_str().ok()) {
        Some(kind) => error.of_kind(kind.to_owned()),
        None => error,
    }
}

/// Returns the code that our own server meant; others come from the connection.
fn kms_code(code: tonic::Code) -> Code {
    Code::from_grpc(code as i32).unwrap_or(Code::Unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_differ_by_the_kind_that_the_server_names_and_not_by_their_sentences() {
        let failure = |kind: &'static str, message: &str| {
            let mut status = Status::unavailable(message);
            status.metadata_mut().insert(KIND_HEADER, MetadataValue::from_static(kind));
            problem("v1 Encrypt", &status)
        };
        let (first, counted) =
            (failure("unreachable", "down, 1 attempt"), failure("unreachable", "down, 9 attempts"));
        assert_eq!(first.kind, counted.kind);
        assert_ne!(first.kind, failure("server_error", "down, 1 attempt").kind);
        assert_eq!(problem("v1 Version", &Status::internal("odd")).kind, "INTERNAL".into());
    }
}
