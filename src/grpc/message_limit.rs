//! The limit on the size of a request, with an answer that says so.
//!
//! tonic answers OUT_OF_RANGE to what is too long; to a KMS client it is an invalid argument.

use std::task::{Context, Poll};

use tonic::codegen::http::{HeaderValue, Request, Response};
use tower::{Layer, Service};

/// The longest request in bytes. kube-apiserver's own are below 64 KiB.
pub(crate) const MESSAGE_LIMIT: usize = 128 * 1024;

const OUT_OF_RANGE: &[u8] = b"11";
const INVALID_ARGUMENT: HeaderValue = HeaderValue::from_static("3");
const MESSAGE: HeaderValue = HeaderValue::from_static("the request is longer than the limit of 131072 bytes");

/// Wraps both services.
#[derive(Clone, Copy, Default)]
pub(crate) struct MessageLimitLayer;

impl<S> Layer<S> for MessageLimitLayer {
    type Service = MessageLimit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        MessageLimit { inner }
    }
}

/// Rewrites the status of answers to requests that were too long.
#[derive(Clone)]
pub(crate) struct MessageLimit<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for MessageLimit<S>
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
        futures_util::TryFutureExt::map_ok(self.inner.call(request), rewrite)
    }
}

fn rewrite<R>(mut response: Response<R>) -> Response<R> {
    if response.headers().get("grpc-status").is_some_and(|status| status.as_bytes() == OUT_OF_RANGE) {
        response.headers_mut().insert("grpc-status", INVALID_ARGUMENT);
        response.headers_mut().insert("grpc-message", MESSAGE);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_the_limit() {
        assert!(MESSAGE.to_str().unwrap().contains(&MESSAGE_LIMIT.to_string()));
    }
}
