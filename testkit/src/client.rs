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

use crate::repeat::or_again;
use crate::{CALL, PATIENCE};

/// Clients of both services on one connection.
#[derive(Clone)]
pub struct Client {
    /// The v1 service.
    pub v1: V1<Channel>,
    /// The v2 service.
    pub v2: V2<Channel>,
    repeats: bool,
    waits: Duration,
}

impl Client {
    /// A client of that socket (with a leading NUL for an abstract one). Connects when it is first used.
    pub fn new(socket: PathBuf) -> Self {
        let connect = move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        };
        let channel =
            Endpoint::from_static("http://localhost").connect_with_connector_lazy(service_fn(connect));
        Self { v1: V1::new(channel.clone()), v2: V2::new(channel), repeats: false, waits: CALL }
    }

    /// The same client, which makes an Encrypt or Decrypt again when its connection ends below it. grpc-go and gRPC's
    /// C core do so by themselves for what a draining server has not seen; tonic leaves it to its callers.
    pub fn repeating(mut self) -> Self {
        self.repeats = true;
        self
    }

    /// The same client with more time than kube-apiserver gives: for what is served late on a busy machine.
    pub fn patient(mut self) -> Self {
        self.waits = PATIENCE;
        self
    }

    fn timed<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        request.set_timeout(self.waits);
        request
    }

    /// v1 Version: its version string.
    pub async fn version(&mut self) -> Result<v1beta1::VersionResponse, Status> {
        let request = v1beta1::VersionRequest { version: "v1beta1".into() };
        Ok(self.v1.version(self.timed(request)).await?.into_inner())
    }

    /// v1 Encrypt.
    pub async fn encrypt_v1(&mut self, plain: &[u8]) -> Result<Vec<u8>, Status> {
        let request = v1beta1::EncryptRequest { version: "v1beta1".into(), plain: plain.to_vec() };
        let call = || {
            let (mut v1, request) = (self.v1.clone(), self.timed(request.clone()));
            async move { v1.encrypt(request).await }
        };
        Ok(or_again(self.repeats, call).await?.into_inner().cipher)
    }

    /// v1 Decrypt.
    pub async fn decrypt_v1(&mut self, cipher: &[u8]) -> Result<Vec<u8>, Status> {
        let request = v1beta1::DecryptRequest { version: "v1beta1".into(), cipher: cipher.to_vec() };
        let call = || {
            let (mut v1, request) = (self.v1.clone(), self.timed(request.clone()));
            async move { v1.decrypt(request).await }
        };
        Ok(or_again(self.repeats, call).await?.into_inner().plain)
    }

    /// v2 Encrypt, with the uid `test`.
    pub async fn encrypt_v2(&mut self, plaintext: &[u8]) -> Result<v2::EncryptResponse, Status> {
        let request = v2::EncryptRequest { plaintext: plaintext.to_vec(), uid: "test".into() };
        let call = || {
            let (mut v2, request) = (self.v2.clone(), self.timed(request.clone()));
            async move { v2.encrypt(request).await }
        };
        Ok(or_again(self.repeats, call).await?.into_inner())
    }

    /// v2 Decrypt of what Encrypt answered.
    pub async fn decrypt_v2(&mut self, sealed: v2::EncryptResponse) -> Result<Vec<u8>, Status> {
        let v2::EncryptResponse { ciphertext, key_id, annotations } = sealed;
        let request = v2::DecryptRequest { ciphertext, uid: "test".into(), key_id, annotations };
        let call = || {
            let (mut v2, request) = (self.v2.clone(), self.timed(request.clone()));
            async move { v2.decrypt(request).await }
        };
        Ok(or_again(self.repeats, call).await?.into_inner().plaintext)
    }

    /// v2 Status.
    pub async fn status(&mut self) -> Result<v2::StatusResponse, Status> {
        Ok(self.v2.status(self.timed(v2::StatusRequest {})).await?.into_inner())
    }

    /// Both APIs, there and back. Panics when another plaintext comes back.
    pub async fn round_trips(&mut self) -> Result<(), Status> {
        let sealed = self.encrypt_v1(b"0123456789abcdef").await?;
        assert_eq!(self.decrypt_v1(&sealed).await?, b"0123456789abcdef");
        let sealed = self.encrypt_v2(b"0123456789abcdef").await?;
        assert_eq!(self.decrypt_v2(sealed).await?, b"0123456789abcdef");
        Ok(())
    }

    /// Waits until Status says `ok`, or until it does not.
    pub async fn until_status(&mut self, ok: bool) -> v2::StatusResponse {
        let polled = timeout(PATIENCE, async {
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
