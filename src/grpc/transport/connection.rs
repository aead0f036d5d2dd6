//! One connection. It is closed when its client sends no connection preface or accepts no responses, and it applies
//! backpressure to a client that sends calls faster than their tasks run.
//!
//! A client that has sent the preface may stay idle indefinitely: kube-apiserver is silent for minutes.

mod state;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::cooperate::Yield;
pub(in crate::grpc) use state::{CallGuard, ConnectionState, RESERVED_CALLS};

/// Bytes that are read before the tasks of their calls are scheduled, so that a write stall is noticed in time.
const READ_QUANTUM: usize = 4 * 1024;

/// A connection that closes when it expires.
pub(in crate::grpc) struct Connection<S> {
    inner: S,
    state: ConnectionState,
    expired: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_expired: bool,
    /// Bytes read since the last yield.
    quantum_used: usize,
    pending_yield: Option<Yield>,
    _permit: OwnedSemaphorePermit,
}

impl<S> Connection<S> {
    /// Wraps a connection that was just accepted. It holds the permit for as long as it lives.
    pub(in crate::grpc) fn new(
        inner: S,
        permit: OwnedSemaphorePermit,
        draining: watch::Receiver<bool>,
    ) -> Self {
        let state = ConnectionState::default();
        Self {
            inner,
            expired: Box::pin(state.clone().expired(draining)),
            state,
            is_expired: false,
            quantum_used: 0,
            pending_yield: None,
            _permit: permit,
        }
    }

    /// Returns its state.
    pub(in crate::grpc) fn state(&self) -> ConnectionState {
        self.state.clone()
    }

    /// Returns whether the connection has expired. If not, the task is woken when it does.
    fn has_expired(&mut self, cx: &mut Context<'_>) -> bool {
        self.is_expired = self.is_expired || self.expired.as_mut().poll(cx).is_ready();
        self.is_expired
    }

    /// Records the outcome of a write, and fails a pending one on an expired connection.
    fn after_write<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.state.record_write(outcome.is_ready());
        if outcome.is_pending() && self.has_expired(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        outcome
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.has_expired(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if this.state.applies_backpressure(cx) {
            return Poll::Pending;
        }
        if this.quantum_used >= READ_QUANTUM {
            if !this.pending_yield.get_or_insert_with(|| Yield::start(cx)).is_done() {
                return Poll::Pending;
            }
            (this.quantum_used, this.pending_yield) = (0, None);
        }
        let room = buf.remaining().min(READ_QUANTUM - this.quantum_used);
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        ready!(Pin::new(&mut this.inner).poll_read(cx, &mut part))?;
        let count = part.filled().len();
        buf.advance(count);
        this.quantum_used += count;
        this.state.record_read(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.after_write(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        this.after_write(cx, outcome)
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

#[cfg(test)]
mod tests;
