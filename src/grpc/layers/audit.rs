//! Gives the audit log a line for each Encrypt and Decrypt, however it ends: served, refused at any stage, or left by its
//! caller. Stands before everything else that could refuse a call.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::SystemTime;

use futures_util::future::Either;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::{Layer, Service};

use super::method;
use crate::actors::PROBE_HEADER;
use crate::audit::{AuditLog, Peer, Record};
use crate::grpc::error;
use crate::kms::{Api, KeyId, KmsError, Method};

/// The outcome of a call without an answer, in the words of gRPC.
const NO_ANSWER: &str = "CANCELLED";

/// Wraps both services.
#[derive(Clone)]
pub(in crate::grpc) struct AuditLayer(pub(in crate::grpc) AuditLog);

impl<S> Layer<S> for AuditLayer {
    type Service = Audit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Audit { log: self.0.clone(), inner }
    }
}

/// Follows key operations to their end.
#[derive(Clone)]
pub(in crate::grpc) struct Audit<S> {
    log: AuditLog,
    inner: S,
}

type HttpResult<E> = Result<Response<Body>, E>;

impl<S> Service<Request<Body>> for Audit<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Pin<Box<dyn Future<Output = HttpResult<S::Error>> + Send>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let operation = self.log.is_on().then(|| key_operation(request.uri().path())).flatten();
        let Some((api, method)) = operation else { return Either::Left(self.inner.call(request)) };
        let in_flight = InFlight::new(self.log.clone(), api, method, &request);
        request.extensions_mut().insert(in_flight.context.clone());
        let answer = self.inner.call(request);
        Either::Right(Box::pin(async move {
            let answer = answer.await?;
            in_flight.answered(&answer);
            Ok(answer)
        }))
    }
}

/// The key operation that a path names.
fn key_operation(path: &str) -> Option<(Api, Method)> {
    method::of(path).filter(|(_, method)| matches!(method, Method::Encrypt | Method::Decrypt))
}

/// What is found out about a call on its way. Travels with its request; without an audit log it is empty.
#[derive(Clone, Debug, Default)]
pub(in crate::grpc) struct AuditContext(Option<Arc<AuditFields>>);

#[derive(Debug, Default)]
struct AuditFields {
    uid: OnceLock<String>,
    key_id: OnceLock<KeyId>,
    request_id: OnceLock<String>,
}

impl AuditContext {
    /// What the client calls its request, or we do.
    pub(in crate::grpc) fn uid(&self, uid: &str) {
        if let Some(found) = &self.0 {
            let _ = found.uid.set(uid.to_owned()); // there is one
        }
    }

    /// The key version that it is for.
    pub(in crate::grpc) fn key(&self, key_id: &KeyId) {
        if let Some(found) = &self.0 {
            let _ = found.key_id.set(key_id.clone()); // as above
        }
    }

    /// What came of it: Key Vault's name of its answer, if there was one, or the failure.
    pub(in crate::grpc) fn answered(&self, outcome: Result<&str, &KmsError>) {
        let request_id = outcome.map_or_else(|error| error.request_id.as_deref(), Some).unwrap_or_default();
        if let Some(found) = self.0.as_ref().filter(|_| !request_id.is_empty()) {
            let _ = found.request_id.set(request_id.to_owned()); // as above
        }
    }
}

/// A key operation that has not ended. Its line is written when it is dropped.
struct InFlight {
    log: AuditLog,
    began: Instant,
    api: Api,
    method: Method,
    is_probe: bool,
    peer: Peer,
    context: AuditContext,
    outcome: &'static str,
}

impl InFlight {
    fn new(log: AuditLog, api: Api, method: Method, request: &Request<Body>) -> Self {
        Self {
            log,
            began: Instant::now(),
            api,
            method,
            is_probe: request.headers().contains_key(PROBE_HEADER),
            peer: request.extensions().get().copied().unwrap_or_default(),
            context: AuditContext(Some(Arc::default())),
            outcome: NO_ANSWER,
        }
    }

    /// The status of a failure is in the headers, that of a success in the trailers.
    fn answered(mut self, answer: &Response<Body>) {
        self.outcome =
            Status::from_header_map(answer.headers()).map_or("OK", |status| error::name(status.code()));
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let found = self.context.0.as_deref();
        self.log.append(Record {
            time: SystemTime::now(),
            uid: found.and_then(|found| found.uid.get().cloned()),
            operation: self.method,
            api: self.api,
            is_probe: self.is_probe,
            key_id: found.and_then(|found| found.key_id.get().cloned()),
            request_id: found.and_then(|found| found.request_id.get().cloned()),
            peer: self.peer,
            outcome: self.outcome,
            took_ms: self.began.elapsed().as_micros() as f64 / 1000.0,
        });
    }
}
