//! A client of both KMS services, with kube-apiserver's timeout.

use std::path::PathBuf;
use std::time::Duration;

use azure_kms_provider::proto::v1beta1::key_management_service_client::KeyManagementServiceClient as V1;
use azure_kms_provider::proto::v2::key_management_service_client::KeyManagementServiceClient as V2;
use azure_kms_provider::proto::{v1beta1, v2};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tower::service_fn;

use crate::timeouts::{CALL_TIMEOUT, TEST_TIMEOUT};
use crate::transparent_retry::with_retries;

/// Clients of both services on one connection.
#[derive(Clone)]
pub struct Client {
    /// The v1 service.
    pub v1: V1<Channel>,
    /// The v2 service.
    pub v2: V2<Channel>,
    /// Retries Encrypt and Decrypt when their connection ends.
    retries: bool,
    /// The timeout of a call, which is also its `grpc-timeout`.
    timeout: Duration,
}

impl Client {
    /// Returns a client of that socket (with a leading NUL for an abstract one), which connects when it is first used.
    /// Its calls have [`CALL_TIMEOUT`].
    pub fn new(socket: PathBuf) -> Self {
        let connect = move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        };
        let channel =
            Endpoint::from_static("http://localhost").connect_with_connector_lazy(service_fn(connect));
        Self { v1: V1::new(channel.clone()), v2: V2::new(channel), retries: false, timeout: CALL_TIMEOUT }
    }

    /// Makes it retry an Encrypt or Decrypt whose connection ends. grpc-go and gRPC's C core do so by themselves for
    /// calls that a draining server has not seen (transparent retry); tonic leaves it to its callers.
    pub fn retrying(mut self) -> Self {
        self.retries = true;
        self
    }

    /// Gives its calls [`TEST_TIMEOUT`], for those that a busy machine serves late.
    pub fn with_test_timeout(mut self) -> Self {
        self.timeout = TEST_TIMEOUT;
        self
    }

    /// Wraps the message in a request with the timeout.
    fn timed<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }

    /// Calls v1 Version.
    ///
    /// # Errors
    /// The call fails.
    pub async fn version(&mut self) -> Result<v1beta1::VersionResponse, Status> {
        let request = v1beta1::VersionRequest { version: "v1beta1".into() };
        Ok(self.v1.version(self.timed(request)).await?.into_inner())
    }

    /// Calls v1 Encrypt, and returns the ciphertext.
    ///
    /// # Errors
    /// The call fails.
    pub async fn encrypt_v1(&mut self, plain: &[u8]) -> Result<Vec<u8>, Status> {
        let request = v1beta1::EncryptRequest { version: "v1beta1".into(), plain: plain.to_vec() };
        let call = || {
            let (mut v1, request) = (self.v1.clone(), self.timed(request.clone()));
            async move { v1.encrypt(request).await }
        };
        Ok(with_retries(self.retries, call).await?.into_inner().cipher)
    }

    /// Calls v1 Decrypt, and returns the plaintext.
    ///
    /// # Errors
    /// The call fails.
    pub async fn decrypt_v1(&mut self, cipher: &[u8]) -> Result<Vec<u8>, Status> {
        let request = v1beta1::DecryptRequest { version: "v1beta1".into(), cipher: cipher.to_vec() };
        let call = || {
            let (mut v1, request) = (self.v1.clone(), self.timed(request.clone()));
            async move { v1.decrypt(request).await }
        };
        Ok(with_retries(self.retries, call).await?.into_inner().plain)
    }

    /// Calls v2 Encrypt with the uid `test`.
    ///
    /// # Errors
    /// The call fails.
    pub async fn encrypt_v2(&mut self, plaintext: &[u8]) -> Result<v2::EncryptResponse, Status> {
        let request = v2::EncryptRequest { plaintext: plaintext.to_vec(), uid: "test".into() };
        let call = || {
            let (mut v2, request) = (self.v2.clone(), self.timed(request.clone()));
            async move { v2.encrypt(request).await }
        };
        Ok(with_retries(self.retries, call).await?.into_inner())
    }

    /// Calls v2 Decrypt with the response of Encrypt and the uid `test`, and returns the plaintext.
    ///
    /// # Errors
    /// The call fails.
    pub async fn decrypt_v2(&mut self, encrypted: v2::EncryptResponse) -> Result<Vec<u8>, Status> {
        let v2::EncryptResponse { ciphertext, key_id, annotations } = encrypted;
        let request = v2::DecryptRequest { ciphertext, uid: "test".into(), key_id, annotations };
        let call = || {
            let (mut v2, request) = (self.v2.clone(), self.timed(request.clone()));
            async move { v2.decrypt(request).await }
        };
        Ok(with_retries(self.retries, call).await?.into_inner().plaintext)
    }

    /// Calls v2 Status.
    ///
    /// # Errors
    /// The call fails.
    pub async fn status(&mut self) -> Result<v2::StatusResponse, Status> {
        Ok(self.v2.status(self.timed(v2::StatusRequest {})).await?.into_inner())
    }

    /// Encrypts and decrypts through both APIs.
    ///
    /// # Errors
    /// A call fails.
    ///
    /// # Panics
    /// Decrypt returns another plaintext.
    pub async fn round_trips(&mut self) -> Result<(), Status> {
        let ciphertext = self.encrypt_v1(b"0123456789abcdef").await?;
        assert_eq!(self.decrypt_v1(&ciphertext).await?, b"0123456789abcdef");
        let encrypted = self.encrypt_v2(b"0123456789abcdef").await?;
        assert_eq!(self.decrypt_v2(encrypted).await?, b"0123456789abcdef");
        Ok(())
    }

    /// Waits until the healthz of Status is `ok`, or until it is not.
    pub async fn until_status(&mut self, ok: bool) -> v2::StatusResponse {
        let polled = timeout(TEST_TIMEOUT, async {
            loop {
                let status = self.status().await.unwrap();
                if (status.healthz == "ok") == ok {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(50)).await; // between polls, as kube-apiserver does
            }
        });
        polled.await.expect("the status does not change")
    }
}
