//! One attempt to connect, which goes on in a task of its own.

use std::any::Any;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use tower::BoxError;

/// The time limit of an attempt, however many calls wait for it in turn.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(30);
/// The time that an established connection waits for a call. Servers close connections on which nothing is sent.
pub(super) const MAX_IDLE: Duration = Duration::from_secs(2);

/// An attempt to connect, and its outcome if that is known already. Its task ends when it is dropped.
pub(super) struct Attempt<C> {
    began: Instant,
    task: AbortHandle,
    outcome: oneshot::Receiver<Outcome<C>>,
    known: Option<Outcome<C>>,
}

/// A connection or the reason why there is none, and when that was known.
struct Outcome<C> {
    connected: Result<C, BoxError>,
    at: Instant,
}

/// An attempt that no call waits for, whatever its connections are.
pub(super) trait Parked: Any + Send {
    /// Returns when it began.
    fn began(&self) -> Instant;

    /// Returns whether it may still bring, or has just brought, a connection.
    fn is_usable(&mut self) -> bool;
}

impl<C: Send + 'static> Attempt<C> {
    /// Starts connecting, on the runtime of the caller.
    pub(super) fn start(connect: impl Future<Output = Result<C, BoxError>> + Send + 'static) -> Self {
        let (sender, outcome) = oneshot::channel();
        let task = tokio::spawn(async move {
            let connected = timeout(TIME_LIMIT, connect).await.unwrap_or_else(|_| Err(too_late()));
            let _ = sender.send(Outcome { connected, at: Instant::now() }); // an error: it was dropped
        });
        Self { began: Instant::now(), task: task.abort_handle(), outcome, known: None }
    }

    /// Waits for the outcome.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<C, BoxError>> {
        if let Some(known) = self.known.take() {
            return Poll::Ready(known.connected);
        }
        let outcome = ready!(Pin::new(&mut self.outcome).poll(cx));
        Poll::Ready(outcome.map_err(BoxError::from).and_then(|outcome| outcome.connected))
    }
}

impl<C: Send + 'static> Parked for Attempt<C> {
    fn began(&self) -> Instant {
        self.began
    }

    fn is_usable(&mut self) -> bool {
        if self.known.is_none() {
            match self.outcome.try_recv() {
                Ok(outcome) => self.known = Some(outcome),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Closed) => return false,
            }
        }
        self.known.as_ref().is_some_and(|known| known.connected.is_ok() && known.at.elapsed() < MAX_IDLE)
    }
}

impl<C> Drop for Attempt<C> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn too_late() -> BoxError {
    let message = format!("not connected within {} s", TIME_LIMIT.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, message).into()
}
