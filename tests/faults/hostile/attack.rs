//! A connection on which a test sends any bytes.

use std::error::Error;
use std::sync::Arc;

use hyper::body::Body;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kms_testkit::TEST_TIMEOUT;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::wire::{GOAWAY, frames, preface};
use crate::harness::Daemon;

/// One connection of a hostile client.
pub(super) struct Raw(UnixStream);

/// The outcome of a flood.
pub(super) struct Answer {
    /// The bytes that the daemon sent.
    pub(super) bytes: Vec<u8>,
    /// `true` when the daemon closed the connection before everything was sent.
    pub(super) is_cut: bool,
}

impl Answer {
    /// Returns the error code of the GOAWAY frame, and its text.
    pub(super) fn goaway(&self) -> Option<(u32, String)> {
        let (_, _, payload) = frames(&self.bytes).into_iter().rfind(|(kind, ..)| *kind == GOAWAY)?;
        let (code, text) = payload.get(4..)?.split_first_chunk::<4>()?;
        Some((u32::from_be_bytes(*code), String::from_utf8_lossy(text).into_owned()))
    }
}

impl Raw {
    /// Opens a connection, and sends nothing.
    pub(super) async fn silent(daemon: &Daemon) -> Self {
        Self(UnixStream::connect(&daemon.socket).await.unwrap())
    }

    /// Opens a connection, and sends the connection preface.
    pub(super) async fn connect(daemon: &Daemon) -> Self {
        let mut raw = Self::silent(daemon).await;
        raw.send(&preface()).await;
        raw
    }

    /// Sends the bytes, unless the daemon has closed the connection.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    /// Sends the bytes and never reads, for as long as it is polled.
    pub(super) async fn push(mut self, bytes: Arc<[u8]>) {
        let _ = self.0.write_all(&bytes).await;
    }

    /// Sends all the pieces while it reads, until all is sent or the daemon closes the connection.
    pub(super) async fn flood(self, pieces: impl Iterator<Item = Vec<u8>>) -> Answer {
        let (mut read, mut write) = self.0.into_split();
        let mut bytes = Vec::new();
        let sending = async {
            for piece in pieces {
                write.write_all(&piece).await?;
            }
            write.shutdown().await
        };
        let reading = async { while read.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {} };
        let (sent, ()) =
            timeout(TEST_TIMEOUT, async { tokio::join!(sending, reading) }).await.expect("an end");
        Answer { bytes, is_cut: sent.is_err() }
    }

    /// Reads until the expected bytes have come, and returns all that were read.
    pub(super) async fn until(&mut self, expected: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let reading = async {
            while !bytes.windows(expected.len()).any(|window| window == expected) {
                assert!(self.0.read_buf(&mut bytes).await.unwrap() > 0, "closed after {bytes:?}");
            }
        };
        timeout(TEST_TIMEOUT, reading).await.expect("an answer");
        bytes
    }

    /// Reads until the daemon closes the connection.
    pub(super) async fn until_closed(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let reading = async { while self.0.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {} };
        timeout(TEST_TIMEOUT, reading).await.expect("the connection is closed");
        bytes
    }
}

/// Connects a client that conforms to HTTP/2, whatever its requests.
pub(super) async fn http2<B>(daemon: &Daemon) -> SendRequest<B>
where
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
{
    let stream = UnixStream::connect(&daemon.socket).await.unwrap();
    let (client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    client
}
