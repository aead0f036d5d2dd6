//! Takes a call's message as a whole before anybody works on it: not too many limit, not too long a message, not for
//! too long. Only then does it cost more than its bytes.

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

/// How long a message may take to come: what a call without a deadline gets.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// The bytes before a message (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX: usize = 5;

/// Wraps both services.
#[derive(Clone)]
pub(in crate::grpc) struct BufferLayer(Arc<CallLimit>);

impl BufferLayer {
    /// Bounds the calls in flight to so many.
    pub(in crate::grpc) fn new(calls: u32) -> Self {
        Self(Arc::new(CallLimit::new(calls)))
    }
}

impl<S> Layer<S> for BufferLayer {
    type Service = Buffer<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Buffer { limit: self.0.clone(), inner }
    }
}

/// Hands on whole requests.
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
        match self.limit.begin(&connection) {
            Err(refused) => Either::Left(ready(Ok(Status::from(refused).into_http()))),
            Ok(call) => Either::Right(Box::pin(serve(self.inner.clone(), request, call))),
        }
    }
}

async fn serve<S>(inner: S, request: Request<Body>, mut call: CallPermit) -> HttpResult<S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let (head, body) = request.into_parts();
    let received = timeout(RECEIVE_TIMEOUT, receive(body, &mut call)).await;
    let late = || Err(KmsError::deadline("the request's message").into());
    match received.unwrap_or_else(|_| late()) {
        Err(refused) => Ok(refused.into_http()),
        Ok(message) => {
            let request = Request::from_parts(head, Body::new(axum::body::Body::from(message)));
            let answer = inner.oneshot(request).await?;
            Ok(answer.map(|body| Body::new(Sent { body, _call: call })))
        }
    }
}

/// The whole message.
async fn receive(body: Body, call: &mut CallPermit) -> Result<Bytes, Status> {
    let mut pieces = axum::body::Body::new(body).into_data_stream();
    let mut message = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| Status::from_error(error.into_inner()))?;
        if message.len() + piece.len() > MESSAGE_LIMIT + PREFIX {
            return Err(status_text::too_long());
        }
        call.receive(piece.len())?;
        message.extend_from_slice(&piece);
    }
    Ok(message.into())
}

/// An answer whose call is open until it was handed to the transport.
struct Sent {
    body: Body,
    _call: CallPermit,
}

impl HttpBody for Sent {
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

    /// What becomes of a request whose body comes in those pieces, and then stops when `ends` is false.
    async fn answer(pieces: Vec<usize>, ends: bool) -> Result<usize, Status> {
        let seen = service_fn(|request: Request<Body>| async {
            let body = axum::body::to_bytes(axum::body::Body::new(request.into_body()), usize::MAX).await;
            Ok::<_, Infallible>(Response::new(Body::new(axum::body::Body::from(body.unwrap()))))
        });
        let pieces = stream::iter(pieces).map(|size| Ok::<_, Infallible>(vec![7; size]));
        let rest = if ends { stream::empty().left_stream() } else { stream::pending().right_stream() };
        let body = Body::new(axum::body::Body::from_stream(pieces.chain(rest)));
        let answer = BufferLayer::new(1).layer(seen).oneshot(Request::new(body)).await.unwrap();
        match Status::from_header_map(answer.headers()) {
            Some(status) => Err(status),
            None => {
                let body = axum::body::to_bytes(axum::body::Body::new(answer.into_body()), usize::MAX).await;
                Ok(body.unwrap().len())
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_handed_on_as_a_whole() {
        assert_eq!(answer(vec![1, 0, 4, MESSAGE_LIMIT], true).await.unwrap(), MESSAGE_LIMIT + PREFIX);
        assert_eq!(answer(vec![], true).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_is_too_long_is_refused_before_its_end() {
        let refused = answer(vec![MESSAGE_LIMIT, PREFIX, 1], false).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains("131072 bytes"), "{refused:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_does_not_come_to_its_end_is_refused_in_time() {
        let start = tokio::time::Instant::now();
        let refused = answer(vec![100], false).await.unwrap_err();
        assert_eq!((refused.code(), start.elapsed()), (Code::DeadlineExceeded, RECEIVE_TIMEOUT));
        assert!(refused.message().contains("message"), "{refused:?}");
    }
}
