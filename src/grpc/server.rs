//! Serves both services on the socket until told to drain.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use futures_util::stream::{self, Stream};
use tokio::net::{UnixListener, UnixStream};
use tonic::transport::Server;

use super::Backend;
use super::authority::AuthorityStream;
use super::message_limit::{MESSAGE_LIMIT, MessageLimitLayer};
use super::v1::V1;
use super::v2::V2;
use crate::backoff::after_failed_accept;
use crate::proto::v1beta1::key_management_service_server::KeyManagementServiceServer as V1Server;
use crate::proto::v2::key_management_service_server::KeyManagementServiceServer as V2Server;

/// Streams a connection may have open; above what admission lets wait, so that admission decides.
const MAX_STREAMS: u32 = 4096;

/// Serves until `drain` ends, then finishes what is in flight: no new connection, GOAWAY on the others.
///
/// # Errors
/// The transport failed.
pub(crate) async fn serve(
    listener: UnixListener,
    backend: Arc<Backend>,
    drain: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let v1 = V1Server::new(V1::new(backend.clone())).max_decoding_message_size(MESSAGE_LIMIT);
    let v2 = V2Server::new(V2::new(backend)).max_decoding_message_size(MESSAGE_LIMIT);
    Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .layer(MessageLimitLayer)
        .add_service(v1)
        .add_service(v2)
        .serve_with_incoming_shutdown(connections(listener), drain)
        .await
}

/// Every connection there is to accept. tonic would ask again at once after an error, for ever.
fn connections(
    listener: UnixListener,
) -> impl Stream<Item = Result<AuthorityStream<UnixStream>, Infallible>> {
    stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((Ok(AuthorityStream::new(stream)), listener)),
                Err(error) => after_failed_accept(&error).await,
            }
        }
    })
}
