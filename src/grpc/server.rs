//! The server of both services on the socket. It is hyper's, not tonic's, which does not reveal the connection of a
//! call, so that calls could not be limited per connection.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::codegen::http::Request;
use tonic::service::Routes;
use tower::{Layer, ServiceExt};

use super::layers::{
    Audit, AuditLayer, Buffer, BufferLayer, MESSAGE_LIMIT, Rejections, RejectionsLayer, StatusText,
    StatusTextLayer, max_calls,
};
use super::service::{Backend, V1, V2};
use super::transport::{
    AuthorityStream, Connection, ConnectionLimit, ConnectionState, LargeBlocks, RESERVED_CALLS,
};
use crate::audit::{AuditLog, Peer};
use crate::backoff::after_failed_accept;
use crate::proto::v1beta1::key_management_service_server::KeyManagementServiceServer as V1Server;
use crate::proto::v2::key_management_service_server::KeyManagementServiceServer as V2Server;

/// The longest header list, in bytes.
const MAX_HEADER_LIST_SIZE: u32 = 16 * 1024;
/// The flow-control window of a stream in bytes: HTTP/2's initial one, which fits a request of kube-apiserver.
const STREAM_WINDOW: u32 = 64 * 1024 - 1;
/// The smallest flow-control window of a connection in bytes.
const MIN_CONNECTION_WINDOW: u32 = 1024 * 1024;
/// The bytes of the connection's window for each concurrent call. h2 accepts one small DATA frame for each: with less
/// it would disconnect a client that makes as many calls at once as it may.
const WINDOW_PER_CALL: u32 = 512;
/// The largest flow-control window, in bytes (RFC 9113 §6.9.1).
const MAX_WINDOW: u32 = (1 << 31) - 1;
/// The interval at which a connection is pinged.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
/// The time within which a client must acknowledge a ping.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves until `drain` ends, then drains: accepts no connection, sends GOAWAY, and finishes the calls in flight.
pub(crate) async fn serve(
    listener: UnixListener,
    backend: Arc<Backend>,
    audit: AuditLog,
    drain: impl Future<Output = ()>,
) {
    let max_calls = max_calls_of(&backend);
    serve_all(incoming(listener), service_stack(backend, audit), max_calls, drain).await;
}

/// Both services below their layers.
type ServiceStack = Audit<Rejections<Buffer<StatusText<Routes>>>>;

fn service_stack(backend: Arc<Backend>, audit: AuditLog) -> ServiceStack {
    let (rejections, buffer) =
        (RejectionsLayer::new(backend.metrics.clone()), BufferLayer::new(max_calls_of(&backend)));
    let v1 = V1Server::new(V1::new(backend.clone())).max_decoding_message_size(MESSAGE_LIMIT);
    let v2 = V2Server::new(V2::new(backend)).max_decoding_message_size(MESSAGE_LIMIT);
    let status_text = StatusTextLayer.layer(Routes::new(v1).add_service(v2).prepare());
    AuditLayer(audit).layer(rejections.layer(buffer.layer(status_text)))
}

/// Serves all of `connections` until `drain` ends, then drains.
async fn serve_all<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    connections: impl Stream<Item = (S, Peer)>,
    service: ServiceStack,
    max_calls: u32,
    drain: impl Future<Output = ()>,
) {
    let (drain_sender, draining) = watch::channel(false);
    let (tasks, limit) = (TaskTracker::new(), ConnectionLimit::default());
    let large_blocks = LargeBlocks::default();
    let connections = connections.for_each(|(stream, peer)| {
        if let Some(permit) = limit.permit() {
            let connection = Connection::new(stream, permit, draining.clone());
            let http2 = http2(connection.state(), max_calls);
            let (large_blocks, service) = (large_blocks.clone(), service.clone());
            tasks.spawn(serve_one(http2, connection, peer, large_blocks, service, draining.clone()));
        }
        std::future::ready(())
    });
    tokio::select! {
        () = drain => {}
        () = connections => {}
    }
    drain_sender.send_replace(true);
    tasks.close();
    tasks.wait().await;
}

/// Serves one connection until it ends; sends GOAWAY when the daemon drains.
async fn serve_one<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    http2: Builder<ConnectionState>,
    connection: Connection<S>,
    peer: Peer,
    large_blocks: LargeBlocks,
    service: ServiceStack,
    mut draining: watch::Receiver<bool>,
) {
    let state = connection.state();
    let service = service.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(state.clone());
        request.extensions_mut().insert(peer);
        request.map(Body::new)
    });
    let io = TokioIo::new(AuthorityStream::new(connection, large_blocks));
    let mut serving = pin!(http2.serve_connection(io, TowerToHyperService::new(service)));
    tokio::select! {
        _ = &mut serving => return, // an error is the client's
        _ = draining.wait_for(|draining| *draining) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = serving.await;
}

fn max_calls_of(backend: &Backend) -> u32 {
    max_calls(backend.admission.max_in_flight())
}

/// Returns the settings of one connection, on which one client may use all permits: admission decides.
fn http2(state: ConnectionState, max_calls: u32) -> Builder<ConnectionState> {
    let streams = max_calls.saturating_add(RESERVED_CALLS as u32);
    let window = streams.saturating_mul(WINDOW_PER_CALL).clamp(MIN_CONNECTION_WINDOW, MAX_WINDOW);
    let mut http2 = Builder::new(state);
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .max_header_list_size(MAX_HEADER_LIST_SIZE)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(window)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    http2
}

/// Returns the stream of accepted connections, each with its peer.
fn incoming(listener: UnixListener) -> impl Stream<Item = (UnixStream, Peer)> {
    stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let peer = Peer::of(&stream);
                    return Some(((stream, peer), listener));
                }
                Err(error) => after_failed_accept(&error).await,
            }
        }
    })
}

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing {
    use futures_util::stream::{self, StreamExt};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
    use tokio::sync::oneshot;

    use super::{Arc, AuditLog, Backend, Peer, max_calls_of, serve_all, service_stack};

    /// The buffer in bytes: larger than any input, so that the server never waits for its client.
    const CAPACITY: usize = 1024 * 1024;

    /// Sends the bytes in pieces on one connection to the whole server, and then closes it. Returns when the server has
    /// closed it too.
    pub(crate) async fn server(bytes: &[u8], piece: usize, backend: Arc<Backend>) {
        let (client, server) = duplex(CAPACITY);
        let (closed, drain) = oneshot::channel();
        let connections = stream::iter([(server, Peer::default())]).chain(stream::pending());
        let client = async {
            send(client, bytes, piece).await;
            let _ = closed.send(());
        };
        let max_calls = max_calls_of(&backend);
        let service = service_stack(backend, AuditLog::default());
        let served = serve_all(connections, service, max_calls, async { drop(drain.await) });
        tokio::join!(client, served);
    }

    async fn send(client: DuplexStream, bytes: &[u8], piece: usize) {
        let (mut read, mut write) = split(client);
        let write = async {
            for piece in bytes.chunks(piece) {
                if write.write_all(piece).await.is_err() {
                    return; // the server has closed the connection
                }
                tokio::task::yield_now().await;
            }
            let _ = write.shutdown().await;
        };
        let mut response = Vec::new();
        let (_, _) = tokio::join!(read.read_to_end(&mut response), write);
    }
}

#[cfg(all(test, feature = "benchmark"))]
mod tests;
