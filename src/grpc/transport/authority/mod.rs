//! Makes every spelling of `:authority` that real clients send acceptable to h2.
//!
//! kube-apiserver's KMS v1 client, and gRPC's C core, send the socket's path as `:authority`, percent-encoded
//! (`%2Fopt%2Fazurekms.socket`) or raw. h2 answers such a request with RST_STREAM before any service code sees it,
//! so no layer above the connection can fix it. [`AuthorityStream`] runs below h2, around the accepted stream. It
//! inspects the first header block of a connection. If h2 accepts its authority, or it has none, all bytes are passed
//! through unchanged from then on, at the cost of one branch per read. Otherwise every header block is decoded and
//! encoded again with `localhost` as its authority.
//!
//! A gRPC client uses one authority for a channel, so the first block decides for the connection. The adapter never
//! replies itself: bytes that violate the protocol are passed through unchanged, for h2 to refuse.

mod block;
mod frame;
mod large;
mod rewriter;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) use large::LargeBlocks;
use rewriter::Rewriter;

/// Bytes read from the connection at a time while it is being rewritten.
const READ_SIZE: usize = 8 * 1024;

/// A connection whose header blocks h2 accepts.
pub(crate) struct AuthorityStream<S> {
    inner: S,
    /// `None` once the bytes are passed through.
    rewriter: Option<Box<Rewriter>>,
}

impl<S> AuthorityStream<S> {
    /// Wraps a connection that was just accepted.
    pub(crate) fn new(inner: S, large_blocks: LargeBlocks) -> Self {
        Self { inner, rewriter: Some(Box::new(Rewriter::new(large_blocks))) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AuthorityStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while let Some(rewriter) = &mut this.rewriter {
            if rewriter.read(buf) {
                return Poll::Ready(Ok(()));
            }
            if rewriter.is_done() {
                this.rewriter = None;
                break;
            }
            let mut chunk = [0; READ_SIZE];
            let mut read = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut read))?;
            match read.filled() {
                [] => rewriter.finish(),
                bytes => rewriter.push(bytes),
            }
        }
        Pin::new(&mut this.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AuthorityStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing {
    use super::Rewriter;

    /// Feeds the rewriter the bytes in pieces, and reads all of its output.
    pub(crate) fn connection(bytes: &[u8], piece: usize) {
        let mut rewriter = Rewriter::new(super::LargeBlocks::default());
        let mut out = [0; 1024];
        for piece in bytes.chunks(piece) {
            rewriter.push(piece);
            while rewriter.read(&mut tokio::io::ReadBuf::new(&mut out)) {}
        }
        rewriter.finish();
        while rewriter.read(&mut tokio::io::ReadBuf::new(&mut out)) {}
        assert!(rewriter.is_done());
    }
}

#[cfg(test)]
mod tests;
