//! What tonic answers by itself, in the words of a KMS client.
//!
//! Of a request that is too long it says OUT_OF_RANGE, which to a KMS client is an invalid argument; of a method that
//! does not exist it says nothing but UNIMPLEMENTED.

use std::task::{Context, Poll};

use tonic::Status;
use tonic::codegen::http::{HeaderMap, HeaderValue, Request, Response};
use tower::{Layer, Service};

/// The longest request in bytes. kube-apiserver's own are below 64 KiB.
pub(in crate::grpc) const MESSAGE_LIMIT: usize = 128 * 1024;

const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";
const INVALID_ARGUMENT: HeaderValue = HeaderValue::from_static("3");
const TOO_LONG: &str = "the request is longer than the limit of 131072 bytes";
const NO_SUCH_METHOD: &str = "there is no such method: this is a KMS plugin, v1beta1 and v2";

/// Refuses a request that is too long.
pub(in crate::grpc) fn too_long() -> Status {
    Status::invalid_argument(TOO_LONG)
}

/// Wraps both services.
#[derive(Clone, Copy, Default)]
pub(in crate::grpc) struct StatusTextLayer;

impl<S> Layer<S> for StatusTextLayer {
    type Service = StatusText<S>;

    fn layer(&self, inner: S) -> Self::Service {
        StatusText { inner }
    }
}

/// Rewrites tonic's own statuses.
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
    match headers.get(STATUS).map(HeaderValue::as_bytes) {
        Some(b"11") => {
            headers.insert(STATUS, INVALID_ARGUMENT);
            headers.insert(MESSAGE, HeaderValue::from_static(TOO_LONG));
        }
        Some(b"12") => {
            headers.insert(MESSAGE, HeaderValue::from_static(NO_SUCH_METHOD));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_the_limit() {
        assert!(TOO_LONG.contains(&MESSAGE_LIMIT.to_string()));
    }
}
