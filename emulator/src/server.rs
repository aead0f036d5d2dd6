//! Accepts connections on loopback, with or without TLS (and HTTP/2 with it only), and hands each request to a handler.

use std::convert::Infallible;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tower::service_fn;

use crate::Error;
use crate::state::State;

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is reset")]
pub(crate) struct Reset;

/// What a handler gives.
pub(crate) type Answer = Result<Response<Body>, Reset>;

/// TLS, whose handshakes are counted.
#[derive(Clone)]
pub(crate) struct Tls {
    pub acceptor: TlsAcceptor,
    pub state: Arc<State>,
}

impl Tls {
    /// `None` when the client does not want it so.
    async fn accept(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let stream = self.acceptor.accept(stream).await.ok()?;
        self.state.stats.tls_handshake();
        Some(stream)
    }
}

/// One listener and its connections; all end when it is dropped.
pub(crate) struct Server {
    addr: SocketAddr,
    task: JoinHandle<Infallible>,
}

impl Server {
    /// Listens on `addr`, or on a free port of 127.0.0.1.
    pub(crate) async fn start<F, A>(
        addr: Option<SocketAddr>,
        tls: Option<Tls>,
        handler: F,
    ) -> Result<Self, Error>
    where
        F: Fn(Request<Body>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        let addr = addr.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into());
        if !addr.ip().is_loopback() {
            return Err(Error(format!(
                "{addr} is not loopback: the emulator's secret is known to everybody"
            )));
        }
        let bound = TcpListener::bind(addr).await;
        let listener = bound.map_err(|error| Error(format!("cannot listen on {addr}: {error}")))?;
        let addr = listener.local_addr()?;
        Ok(Self { addr, task: tokio::spawn(accept(listener, tls, handler)) })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes the listener and every connection.
    pub(crate) async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await; // cancelled, as asked
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept<F, A>(listener: TcpListener, tls: Option<Tls>, handler: F) -> Infallible
where
    F: Fn(Request<Body>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let mut connections = JoinSet::new(); // aborts them all when this task is aborted
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true); // only latency is at stake
        let (handler, tls) = (handler.clone(), tls.clone());
        connections.spawn(async move {
            match tls {
                None => serve(stream, handler, Builder::new(TokioExecutor::new()).http1_only()).await,
                Some(tls) => {
                    if let Some(stream) = tls.accept(stream).await {
                        let connection = tls.state.hung_connections.connected();
                        let handler = move |mut request: Request<Body>| {
                            request.extensions_mut().insert(connection);
                            handler(request)
                        };
                        serve(stream, handler, Builder::new(TokioExecutor::new())).await;
                    }
                }
            }
        });
    }
}

/// HTTP/1.1, or HTTP/2 if the client begins so, as it does when TLS has chosen that.
async fn serve<S, F, A>(stream: S, handler: F, http: Builder<TokioExecutor>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Body>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let service = service_fn(move |request: axum::http::Request<_>| handler(request.map(Body::new)));
    let service = TowerToHyperService::new(service);
    // an error is the client's going away, or a reset that was asked for
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}
