//! Rewrites the statuses that tonic generates itself to those that a KMS client expects.
//!
//! tonic refuses a request that is too long with OUT_OF_RANGE, which is INVALID_ARGUMENT for a KMS client, and an
//! unknown method with UNIMPLEMENTED and no message.

use std::task::{Context, Poll};

use tonic::Status;
use tonic::codegen::http::{HeaderMap, HeaderValue, Request, Response};
use tower::{Layer, Service};

/// The longest message of a request in bytes. kube-apiserver's are below 64 KiB.
pub(in crate::grpc) const MESSAGE_LIMIT: usize = 128 * 1024;

const GRPC_STATUS: &str = "grpc-status";
const GRPC_MESSAGE: &str = "grpc-message";
/// The codes as `grpc-status` has them.
const INVALID_ARGUMENT: HeaderValue = HeaderValue::from_static("3");
const OUT_OF_RANGE: &[u8] = b"11";
const UNIMPLEMENTED: &[u8] = b"12";
const MESSAGE_TOO_LONG: &str = "the request is longer than the limit of 131072 bytes";
const UNKNOWN_METHOD: &str = "there is no such method: this is a KMS plugin, v1beta1 and v2";

/// Returns the status of a request whose message is longer than [`MESSAGE_LIMIT`].
pub(in crate::grpc) fn message_too_long() -> Status {
    Status::invalid_argument(MESSAGE_TOO_LONG)
}

/// The layer of [`StatusText`], around both services.
#[derive(Clone, Copy, Default)]
pub(in crate::grpc) struct StatusTextLayer;

impl<S> Layer<S> for StatusTextLayer {
    type Service = StatusText<S>;

    fn layer(&self, inner: S) -> Self::Service {
        StatusText { inner }
    }
}

/// A service that rewrites tonic's own statuses.
#[derive(Clone)]
pub(in crate::grpc) struct StatusText<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for StatusText<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    R: 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = futures_util::future::MapOk<S::Future, fn(Response<R>) -> Response<R>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        futures_util::TryFutureExt::map_ok(self.inner.call(request), |mut response| {
            rewrite(response.headers_mut());
            response
        })
    }
}

fn rewrite(headers: &mut HeaderMap) {
    match headers.get(GRPC_STATUS).map(HeaderValue::as_bytes) {
        Some(OUT_OF_RANGE) => {
            headers.insert(GRPC_STATUS, INVALID_ARGUMENT);
            headers.insert(GRPC_MESSAGE, HeaderValue::from_static(MESSAGE_TOO_LONG));
        }
        Some(UNIMPLEMENTED) => {
            headers.insert(GRPC_MESSAGE, HeaderValue::from_static(UNKNOWN_METHOD));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_the_limit() {
        assert!(MESSAGE_TOO_LONG.contains(&MESSAGE_LIMIT.to_string()));
    }
}
