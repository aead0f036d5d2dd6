//! Serves both services on the socket until told to drain. hyper's server, not tonic's: this one tells which calls
//! came on which connection, so that no client can pile them up.

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
    StatusTextLayer, calls_in_flight,
};
use super::service::{Backend, V1, V2};
use super::transport::{
    AuthorityStream, Connection, ConnectionLimit, ConnectionState, LargeBlocks, OWN_CALLS,
};
use crate::audit::{AuditLog, Peer};
use crate::backoff::after_failed_accept;
use crate::proto::v1beta1::key_management_service_server::KeyManagementServiceServer as V1Server;
use crate::proto::v2::key_management_service_server::KeyManagementServiceServer as V2Server;

/// The longest header list.
const HEADER_LIMIT: u32 = 16 * 1024;
/// What a client may send ahead on a stream: HTTP/2's own start, which fits a request of kube-apiserver.
const STREAM_WINDOW: u32 = 64 * 1024 - 1;
/// And on a connection at least. h2 takes one small message at once for every 512 bytes of it: less would cut off a
/// client that makes as many calls at once as it may.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// The bytes of the window that h2 asks for each small message.
const WINDOW_PER_CALL: u32 = 512;
/// The largest window there is (RFC 9113 section 6.9.1).
const LARGEST_WINDOW: u32 = (1 << 31) - 1;
/// A client that has said nothing for so long is asked whether it is still there,
const PING_AFTER: Duration = Duration::from_secs(60);
/// and has so long to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves until `drain` ends, then finishes what is in flight: no new connection, GOAWAY on the others.
pub(crate) async fn serve(
    listener: UnixListener,
    backend: Arc<Backend>,
    audit: AuditLog,
    drain: impl Future<Output = ()>,
) {
    let most_calls = most_calls(&backend);
    serve_all(accepted(listener), calls(backend, audit), most_calls, drain).await;
}

/// Both services, and what stands before them.
type Calls = Audit<Rejections<Buffer<StatusText<Routes>>>>;

fn calls(backend: Arc<Backend>, audit: AuditLog) -> Calls {
    let (rejections, buffer) =
        (RejectionsLayer::new(backend.metrics.clone()), BufferLayer::new(most_calls(&backend)));
    let v1 = V1Server::new(V1::new(backend.clone())).max_decoding_message_size(MESSAGE_LIMIT);
    let v2 = V2Server::new(V2::new(backend)).max_decoding_message_size(MESSAGE_LIMIT);
    let status_text = StatusTextLayer.layer(Routes::new(v1).add_service(v2).prepare());
    AuditLayer(audit).layer(rejections.layer(buffer.layer(status_text)))
}

/// The same for connections from anywhere.
async fn serve_all<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    connections: impl Stream<Item = (S, Peer)>,
    calls: Calls,
    most_calls: u32,
    drain: impl Future<Output = ()>,
) {
    let (draining, watched) = watch::channel(false);
    let (running, limit) = (TaskTracker::new(), ConnectionLimit::default());
    let large = LargeBlocks::default();
    let connections = connections.for_each(|(stream, peer)| {
        if let Some(permit) = limit.permit() {
            let connection = Connection::new(stream, permit, watched.clone());
            let http2 = http2(connection.state(), most_calls);
            running.spawn(serve_one(http2, connection, peer, large.clone(), calls.clone(), watched.clone()));
        }
        std::future::ready(())
    });
    tokio::select! {
        () = drain => {}
        () = connections => {}
    }
    draining.send_replace(true);
    running.close();
    running.wait().await;
}

/// Serves one connection until it ends; says GOAWAY when the daemon drains.
async fn serve_one<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    http2: Builder<ConnectionState>,
    connection: Connection<S>,
    peer: Peer,
    large: LargeBlocks,
    calls: Calls,
    mut draining: watch::Receiver<bool>,
) {
    let state = connection.state();
    let calls = calls.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(state.clone());
        request.extensions_mut().insert(peer);
        request.map(Body::new)
    });
    let io = TokioIo::new(AuthorityStream::new(connection, large));
    let mut serving = pin!(http2.serve_connection(io, TowerToHyperService::new(calls)));
    tokio::select! {
        _ = &mut serving => return, // an error is the client's
        _ = draining.wait_for(|draining| *draining) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = serving.await;
}

fn most_calls(backend: &Backend) -> u32 {
    calls_in_flight(backend.admission.max_in_flight())
}

/// Returns the settings of one connection, on which one client may use every permit there is: admission decides.
fn http2(state: ConnectionState, most_calls: u32) -> Builder<ConnectionState> {
    let streams = most_calls.saturating_add(OWN_CALLS as u32);
    let window = streams.saturating_mul(WINDOW_PER_CALL).clamp(CONNECTION_WINDOW, LARGEST_WINDOW);
    let mut http2 = Builder::new(state);
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .max_header_list_size(HEADER_LIMIT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(window)
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_TIMEOUT);
    http2
}

/// Every connection there is to accept, and who made it.
fn accepted(listener: UnixListener) -> impl Stream<Item = (UnixStream, Peer)> {
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

    use super::{Arc, AuditLog, Backend, Peer, calls, most_calls, serve_all};

    /// More than any input, so that the server never waits for its client.
    const CAPACITY: usize = 1024 * 1024;

    /// One connection to the whole server: the bytes in pieces, and then the end. Ends when the server closes it.
    pub(crate) async fn server(bytes: &[u8], piece: usize, backend: Arc<Backend>) {
        let (client, server) = duplex(CAPACITY);
        let (closed, drain) = oneshot::channel();
        let connections = stream::iter([(server, Peer::default())]).chain(stream::pending());
        let client = async {
            attack(client, bytes, piece).await;
            let _ = closed.send(());
        };
        let most_calls = most_calls(&backend);
        let calls = calls(backend, AuditLog::default());
        let served = serve_all(connections, calls, most_calls, async { drop(drain.await) });
        tokio::join!(client, served);
    }

    async fn attack(client: DuplexStream, bytes: &[u8], piece: usize) {
        let (mut read, mut write) = split(client);
        let write = async {
            for piece in bytes.chunks(piece) {
                if write.write_all(piece).await.is_err() {
                    return; // the server has had enough
                }
                tokio::task::yield_now().await;
            }
            let _ = write.shutdown().await;
        };
        let mut answers = Vec::new();
        let (_, _) = tokio::join!(read.read_to_end(&mut answers), write);
    }
}

#[cfg(all(test, feature = "benchmark"))]
mod tests;
