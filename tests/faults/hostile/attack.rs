//! A connection that sends whatever it is told.

use std::error::Error;
use std::sync::Arc;

use hyper::body::Body;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kms_testkit::TEST_TIMEOUT;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::wire::{GOAWAY, frames, hello};
use crate::harness::Daemon;

/// One connection of a hostile client.
pub(super) struct Raw(UnixStream);

/// How a flood ended.
pub(super) struct Answer {
    /// What the daemon sent.
    pub(super) bytes: Vec<u8>,
    /// Whether it closed the connection before everything was sent.
    pub(super) cut: bool,
}

impl Answer {
    /// The error of the GOAWAY, with its text.
    pub(super) fn goaway(&self) -> Option<(u32, String)> {
        let (_, _, payload) = frames(&self.bytes).into_iter().rfind(|(kind, ..)| *kind == GOAWAY)?;
        let (code, text) = payload.get(4..)?.split_first_chunk::<4>()?;
        Some((u32::from_be_bytes(*code), String::from_utf8_lossy(text).into_owned()))
    }
}

impl Raw {
    /// A connection on which nothing was sent.
    pub(super) async fn silent(daemon: &Daemon) -> Self {
        Self(UnixStream::connect(&daemon.socket).await.unwrap())
    }

    /// A connection that has said hello.
    pub(super) async fn connect(daemon: &Daemon) -> Self {
        let mut raw = Self::silent(daemon).await;
        raw.send(&hello()).await;
        raw
    }

    /// Sends that, unless the daemon has closed the connection.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    /// Sends that and never reads, for as long as it is polled.
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
        Answer { bytes, cut: sent.is_err() }
    }

    /// Reads until that is in what was read, and returns all of it.
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

/// A client of HTTP/2 that keeps to the rules of HTTP/2, whatever it asks.
pub(super) async fn http2<B>(daemon: &Daemon) -> SendRequest<B>
where
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
{
    let stream = UnixStream::connect(&daemon.socket).await.unwrap();
    let (client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    client
}
