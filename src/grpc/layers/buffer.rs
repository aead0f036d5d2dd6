//! Buffers the whole message of a call before the services see it, within limits on its length, on the time to receive
//! it, and on the calls in flight. Until then a call costs no more than its bytes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use futures_util::StreamExt;
use futures_util::future::{Either, Ready, ready};
use tokio::time::timeout;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::{Layer, Service, ServiceExt};

use super::call_limit::{CallLimit, CallPermit};
use super::status_text::{self, MESSAGE_LIMIT};
use crate::grpc::transport::ConnectionState;
use crate::kms::KmsError;

/// The time within which the whole message must arrive: the deadline of a call that sets none.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// The length of the prefix of a message in bytes (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX_LENGTH: usize = 5;

/// The layer of [`Buffer`], around both services.
#[derive(Clone)]
pub(in crate::grpc) struct BufferLayer(Arc<CallLimit>);

impl BufferLayer {
    /// Makes a layer that allows `max_calls` calls in flight.
    pub(in crate::grpc) fn new(max_calls: u32) -> Self {
        Self(Arc::new(CallLimit::new(max_calls)))
    }
}

impl<S> Layer<S> for BufferLayer {
    type Service = Buffer<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Buffer { limit: self.0.clone(), inner }
    }
}

/// A service that calls the inner one with complete requests only.
#[derive(Clone)]
pub(in crate::grpc) struct Buffer<S> {
    limit: Arc<CallLimit>,
    inner: S,
}

type HttpResult<E> = Result<Response<Body>, E>;

impl<S> Service<Request<Body>> for Buffer<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future =
        Either<Ready<HttpResult<S::Error>>, Pin<Box<dyn Future<Output = HttpResult<S::Error>> + Send>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let connection = request.extensions().get::<ConnectionState>().cloned().unwrap_or_default();
        match self.limit.acquire(&connection) {
            Err(error) => Either::Left(ready(Ok(Status::from(error).into_http()))),
            Ok(permit) => Either::Right(Box::pin(serve(self.inner.clone(), request, permit))),
        }
    }
}

/// Serves one call: receives its message, and calls the inner service with it.
///
/// # Errors
/// Those of the inner service. A call whose message is refused gets a response with its status.
async fn serve<S>(inner: S, request: Request<Body>, mut permit: CallPermit) -> HttpResult<S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let (head, body) = request.into_parts();
    let received = timeout(RECEIVE_TIMEOUT, receive(body, &mut permit)).await;
    let timed_out = || Err(KmsError::deadline("the request's message").into());
    match received.unwrap_or_else(|_| timed_out()) {
        Err(status) => Ok(status.into_http()),
        Ok(message) => {
            let request = Request::from_parts(head, Body::new(axum::body::Body::from(message)));
            let response = inner.oneshot(request).await?;
            Ok(response.map(|body| Body::new(PermitBody { body, _permit: permit })))
        }
    }
}

/// Receives the whole message.
///
/// # Errors
/// The body fails, the message is longer than [`MESSAGE_LIMIT`], or the messages in flight use too many bytes.
async fn receive(body: Body, permit: &mut CallPermit) -> Result<Bytes, Status> {
    let mut pieces = axum::body::Body::new(body).into_data_stream();
    let mut message = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| Status::from_error(error.into_inner()))?;
        if message.len() + piece.len() > MESSAGE_LIMIT + PREFIX_LENGTH {
            return Err(status_text::message_too_long());
        }
        permit.acquire_bytes(piece.len())?;
        message.extend_from_slice(&piece);
    }
    Ok(message.into())
}

/// The body of a response, whose call stays in flight until the transport has taken it.
struct PermitBody {
    body: Body,
    _permit: CallPermit,
}

impl HttpBody for PermitBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use tonic::Code;
    use tower::service_fn;

    use super::*;

    /// Sends a request whose body arrives in pieces of those lengths and is complete if `is_complete`. Returns the
    /// length of the message that the service got.
    ///
    /// # Errors
    /// The status of a refused request.
    async fn send(pieces: Vec<usize>, is_complete: bool) -> Result<usize, Status> {
        let echo = service_fn(|request: Request<Body>| async {
            let body = axum::body::to_bytes(axum::body::Body::new(request.into_body()), usize::MAX).await;
            Ok::<_, Infallible>(Response::new(Body::new(axum::body::Body::from(body.unwrap()))))
        });
        let pieces = stream::iter(pieces).map(|size| Ok::<_, Infallible>(vec![7; size]));
        let rest = if is_complete { stream::empty().left_stream() } else { stream::pending().right_stream() };
        let body = Body::new(axum::body::Body::from_stream(pieces.chain(rest)));
        let response = BufferLayer::new(1).layer(echo).oneshot(Request::new(body)).await.unwrap();
        match Status::from_header_map(response.headers()) {
            Some(status) => Err(status),
            None => {
                let body =
                    axum::body::to_bytes(axum::body::Body::new(response.into_body()), usize::MAX).await;
                Ok(body.unwrap().len())
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_handed_on_as_a_whole() {
        assert_eq!(send(vec![1, 0, 4, MESSAGE_LIMIT], true).await.unwrap(), MESSAGE_LIMIT + PREFIX_LENGTH);
        assert_eq!(send(vec![], true).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_is_too_long_is_refused_before_its_end() {
        let refused = send(vec![MESSAGE_LIMIT, PREFIX_LENGTH, 1], false).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains("131072 bytes"), "{refused:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_does_not_come_to_its_end_is_refused_in_time() {
        let start = tokio::time::Instant::now();
        let refused = send(vec![100], false).await.unwrap_err();
        assert_eq!((refused.code(), start.elapsed()), (Code::DeadlineExceeded, RECEIVE_TIMEOUT));
        assert!(refused.message().contains("message"), "{refused:?}");
    }
}
