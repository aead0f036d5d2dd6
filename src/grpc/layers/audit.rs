//! Appends one record to the audit log for each Encrypt and Decrypt, however it ends: served, refused at any stage, or
//! cancelled. The outermost layer, so that no other refuses a call before it.

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

/// The outcome of a call without a response: gRPC's name of the code.
const NO_RESPONSE: &str = "CANCELLED";

/// The layer of [`Audit`], around both services.
#[derive(Clone)]
pub(in crate::grpc) struct AuditLayer(pub(in crate::grpc) AuditLog);

impl<S> Layer<S> for AuditLayer {
    type Service = Audit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Audit { log: self.0.clone(), inner }
    }
}

/// A service that records every key operation when it ends.
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
        let response = self.inner.call(request);
        Either::Right(Box::pin(async move {
            let response = response.await?;
            in_flight.end(&response);
            Ok(response)
        }))
    }
}

/// Returns the key operation that a path names, if it names one.
fn key_operation(path: &str) -> Option<(Api, Method)> {
    method::of(path).filter(|(_, method)| matches!(method, Method::Encrypt | Method::Decrypt))
}

/// The fields of a record that are found out while a call runs. Travels with its request; empty without an audit log.
#[derive(Clone, Debug, Default)]
pub(in crate::grpc) struct AuditContext(Option<Arc<AuditFields>>);

#[derive(Debug, Default)]
struct AuditFields {
    uid: OnceLock<String>,
    key_id: OnceLock<KeyId>,
    request_id: OnceLock<String>,
}

impl AuditContext {
    /// Sets the client's uid of the request, or ours. The first one counts, as for the other fields.
    pub(in crate::grpc) fn set_uid(&self, uid: &str) {
        if let Some(fields) = &self.0 {
            let _ = fields.uid.set(uid.to_owned());
        }
    }

    /// Sets the key version.
    pub(in crate::grpc) fn set_key_id(&self, key_id: &KeyId) {
        if let Some(fields) = &self.0 {
            let _ = fields.key_id.set(key_id.clone());
        }
    }

    /// Sets Key Vault's request id, from its response or from the failure.
    pub(in crate::grpc) fn set_request_id(&self, outcome: Result<&str, &KmsError>) {
        let request_id = outcome.map_or_else(|error| error.request_id.as_deref(), Some).unwrap_or_default();
        if let Some(fields) = self.0.as_ref().filter(|_| !request_id.is_empty()) {
            let _ = fields.request_id.set(request_id.to_owned());
        }
    }
}

/// A key operation in flight. Its record is appended when it is dropped.
struct InFlight {
    log: AuditLog,
    start: Instant,
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
            start: Instant::now(),
            api,
            method,
            is_probe: request.headers().contains_key(PROBE_HEADER),
            peer: request.extensions().get().copied().unwrap_or_default(),
            context: AuditContext(Some(Arc::default())),
            outcome: NO_RESPONSE,
        }
    }

    /// Ends it with the status of its response: that of a failure is in the headers, that of a success in the trailers.
    fn end(mut self, response: &Response<Body>) {
        self.outcome =
            Status::from_header_map(response.headers()).map_or("OK", |status| error::name(status.code()));
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let fields = self.context.0.as_deref();
        self.log.append(Record {
            time: SystemTime::now(),
            uid: fields.and_then(|fields| fields.uid.get().cloned()),
            operation: self.method,
            api: self.api,
            is_probe: self.is_probe,
            key_id: fields.and_then(|fields| fields.key_id.get().cloned()),
            request_id: fields.and_then(|fields| fields.request_id.get().cloned()),
            peer: self.peer,
            outcome: self.outcome,
            took_ms: self.start.elapsed().as_micros() as f64 / 1000.0,
        });
    }
}
