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

use crate::error::Error;
use crate::state::State;

/// A reset in place of a response: the connection is closed, or the HTTP/2 stream reset.
#[derive(Debug, thiserror::Error)]
#[error("the connection is reset")]
pub(crate) struct Reset;

/// The result of a handler: a response, or a reset.
pub(crate) type HandlerResult = Result<Response<Body>, Reset>;

/// TLS, with the state that counts its handshakes and numbers its connections.
#[derive(Clone)]
pub(crate) struct Tls {
    /// Makes the handshakes.
    pub acceptor: TlsAcceptor,
    /// The state of the emulator.
    pub state: Arc<State>,
}

impl Tls {
    /// Makes the handshake; `None` when it fails.
    async fn accept(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let stream = self.acceptor.accept(stream).await.ok()?;
        self.state.stats.tls_handshake();
        Some(stream)
    }
}

/// A listener and its connections; all end when it is dropped.
pub(crate) struct Server {
    /// The address that it listens on.
    addr: SocketAddr,
    /// The task that accepts connections, and owns theirs.
    task: JoinHandle<Infallible>,
}

impl Server {
    /// Listens on `addr`, or on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The address is not loopback, or cannot be bound.
    pub(crate) async fn start<F, A>(
        addr: Option<SocketAddr>,
        tls: Option<Tls>,
        handler: F,
    ) -> Result<Self, Error>
    where
        F: Fn(Request<Body>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = HandlerResult> + Send + 'static,
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

    /// Returns the address that it listens on.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes the listener and every connection.
    pub(crate) async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await; // an error: it is cancelled
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts connections, and serves each in a task of its own.
async fn accept<F, A>(listener: TcpListener, tls: Option<Tls>, handler: F) -> Infallible
where
    F: Fn(Request<Body>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = HandlerResult> + Send + 'static,
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
                        let connection = tls.state.hung_connections.register();
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

/// Serves a connection: HTTP/1.1, or HTTP/2 if the client begins so, as it does when ALPN chose that.
async fn serve<S, F, A>(stream: S, handler: F, http: Builder<TokioExecutor>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Body>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = HandlerResult> + Send + 'static,
{
    let service = service_fn(move |request: axum::http::Request<_>| handler(request.map(Body::new)));
    let service = TowerToHyperService::new(service);
    // an error: the client went away, or the handler reset the connection
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}
