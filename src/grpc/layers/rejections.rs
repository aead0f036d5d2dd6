//! Counts and logs the requests that are refused before a handler has them: too long, too many, too late, malformed, or
//! for an unknown method. `backend` does the same for those that a handler has.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tonic::codegen::http::{Request, Response};
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::method;
use crate::audit::Peer;
use crate::grpc::error;
use crate::kms::{Api, Method};
use crate::telemetry::{LogDedup, Metrics, log_or_debug};

/// The longest prefix of a path that is logged, in characters.
const MAX_PATH_LENGTH: usize = 64;

/// The layer of [`Rejections`], around both services.
#[derive(Clone)]
pub(in crate::grpc) struct RejectionsLayer(Arc<RejectionLog>);

impl RejectionsLayer {
    /// Makes a layer that counts in `metrics`.
    pub(in crate::grpc) fn new(metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(RejectionLog { metrics, log_dedup: LogDedup::repeating() }))
    }
}

impl<S> Layer<S> for RejectionsLayer {
    type Service = Rejections<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Rejections { log: self.0.clone(), inner }
    }
}

/// A service that counts and logs each failure that no handler returned.
#[derive(Clone)]
pub(in crate::grpc) struct Rejections<S> {
    log: Arc<RejectionLog>,
    inner: S,
}

/// A flag that travels with a request: a handler has it.
#[derive(Clone, Default)]
pub(in crate::grpc) struct Handled(Arc<AtomicBool>);

impl Handled {
    /// Sets the flag.
    pub(in crate::grpc) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct RejectionLog {
    metrics: Arc<Metrics>,
    /// A client may call as fast as it likes, so the kinds are a closed set, and nothing that a client can choose.
    log_dedup: LogDedup<(Option<(Api, Method)>, Code)>,
}

type HttpResult<R, E> = Result<Response<R>, E>;

impl<S, B, R> Service<Request<B>> for Rejections<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = HttpResult<R, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let handled = Handled::default();
        request.extensions_mut().insert(handled.clone());
        let peer = request.extensions().get().copied().unwrap_or_default();
        let (log, uri) = (self.log.clone(), request.uri().clone());
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = response.await?;
            if !handled.0.load(Ordering::Relaxed)
                && let Some(status) = Status::from_header_map(response.headers())
                && status.code() != Code::Cancelled
            {
                log.record(uri.path(), peer, &status);
            }
            Ok(response)
        })
    }
}

impl RejectionLog {
    fn record(&self, path: &str, peer: Peer, status: &Status) {
        let (method, code) = (method::of(path), error::name(status.code()));
        self.metrics.request_refused(method, code);
        let should_log = self.log_dedup.should_log((method, status.code()));
        let path: String = path.chars().take(MAX_PATH_LENGTH).collect();
        let (err, peer_pid, peer_uid) = (status.message(), peer.pid, peer.uid);
        log_or_debug!(should_log, warn, path, peer_pid, peer_uid, code, err, "Request refused");
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use tokio::time::advance;
    use tower::{ServiceExt, service_fn};

    use super::*;

    const ENCRYPT: &str = "/v2.KeyManagementService/Encrypt";

    /// Returns the metrics after a call of that path got that response, from a handler if `is_handled`.
    async fn counted(path: &str, is_handled: bool, response: fn() -> Response<()>) -> String {
        let metrics = Arc::new(Metrics::new());
        let inner = service_fn(move |request: Request<()>| async move {
            if is_handled {
                request.extensions().get::<Handled>().unwrap().set();
            }
            Ok::<_, Infallible>(response())
        });
        let service = RejectionsLayer::new(metrics.clone()).layer(inner);
        service.oneshot(Request::get(path).body(()).unwrap()).await.unwrap();
        metrics.render()
    }

    fn too_long() -> Response<()> {
        Status::invalid_argument("too long").into_http()
    }

    #[tokio::test]
    async fn what_no_handler_had_is_counted_by_its_code() {
        for (path, labels) in [
            (ENCRYPT, r#"{api="v2",method="encrypt",code="INVALID_ARGUMENT"} 1"#),
            ("/v9/Nonsense", r#"{api="unknown",method="unknown",code="INVALID_ARGUMENT"} 1"#),
        ] {
            let metrics = counted(path, false, too_long).await;
            assert!(metrics.contains(&format!("azure_kms_requests_total{labels}")), "{metrics}");
        }
    }

    #[tokio::test]
    async fn what_a_handler_had_or_is_no_failure_is_not_counted_here() {
        for metrics in
            [counted(ENCRYPT, true, too_long).await, counted(ENCRYPT, false, || Response::new(())).await]
        {
            assert!(!metrics.contains("azure_kms_requests_total{"), "{metrics}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_warned_of_once_and_does_not_hide_another_refusal() {
        let log = RejectionLog { metrics: Arc::new(Metrics::new()), log_dedup: LogDedup::repeating() };
        let mut warnings = 0;
        for _ in 0..600 {
            warnings += u32::from(log.log_dedup.should_log((None, Code::Unimplemented)));
            advance(Duration::from_millis(200)).await;
        }
        assert_eq!(warnings, 1);
        assert!(log.log_dedup.should_log((Some((Api::V2, Method::Encrypt)), Code::InvalidArgument)));
    }
}
