//! Connecting that outlasts the call it was begun for: a slow name server, proxy or TLS inspection costs one call its
//! deadline, and the next call gets the connection.
//!
//! A tower layer in the HTTP client's connector. Each attempt to connect is a task; a call that is dropped leaves its
//! attempt to the next call, of the same client or of another one with the same [`Connector`].

use std::any::Any;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tower::{BoxError, Layer, Service};

/// The time limit of an attempt, whoever waits for it.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// The time that an established connection waits for a call. Servers close connections on which nothing is sent.
const MAX_IDLE: Duration = Duration::from_secs(5);
/// The number of attempts that are kept for later calls; the oldest are dropped.
const MAX_PENDING: usize = 4;

/// The attempts to connect to one destination that no call waits for. Clones share them; the clients that use one must
/// have the same destination, trust roots and proxy.
#[derive(Clone, Default)]
pub(crate) struct Connector(Arc<Mutex<Vec<Box<dyn Any + Send>>>>);

impl Connector {
    fn pending(&self) -> MutexGuard<'_, Vec<Box<dyn Any + Send>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the oldest attempt that has not failed.
    fn take<C: Send + 'static>(&self) -> Option<Attempt<C>> {
        let mut pending = self.pending();
        while !pending.is_empty() {
            let attempt = pending.remove(0).downcast::<Attempt<C>>();
            if let Some(usable) = attempt.ok().and_then(|attempt| attempt.usable()) {
                return Some(usable);
            }
        }
        None
    }

    fn keep<C: Send + 'static>(&self, attempt: Attempt<C>) {
        let mut pending = self.pending();
        if pending.len() == MAX_PENDING {
            pending.remove(0);
        }
        pending.push(Box::new(attempt));
    }
}

/// An attempt to connect, and its outcome if that is known already.
struct Attempt<C> {
    task: oneshot::Receiver<Outcome<C>>,
    outcome: Option<Outcome<C>>,
}

/// A connection or the reason why there is none, and when that was known.
struct Outcome<C> {
    connected: Result<C, BoxError>,
    at: Instant,
}

impl<C: Send + 'static> Attempt<C> {
    fn start(connecting: impl Future<Output = Result<C, BoxError>> + Send + 'static) -> Self {
        let (sender, task) = oneshot::channel();
        tokio::spawn(async move {
            let connected = timeout(ATTEMPT_TIMEOUT, connecting).await;
            let connected = connected.unwrap_or_else(|late| Err(late.into()));
            let _ = sender.send(Outcome { connected, at: Instant::now() }); // an error: nobody needs it any more
        });
        Self { task, outcome: None }
    }

    /// Returns the attempt if it may still bring, or has brought, a connection that can be used.
    fn usable(mut self) -> Option<Self> {
        match self.task.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => Some(self),
            Ok(outcome) if outcome.connected.is_ok() && outcome.at.elapsed() < MAX_IDLE => {
                self.outcome = Some(outcome);
                Some(self)
            }
            _ => None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<C, BoxError>> {
        if let Some(outcome) = self.outcome.take() {
            return Poll::Ready(outcome.connected);
        }
        let outcome = ready!(Pin::new(&mut self.task).poll(cx));
        Poll::Ready(outcome.map_err(BoxError::from).and_then(|outcome| outcome.connected))
    }
}

impl<S> Layer<S> for Connector {
    type Service = KeepConnecting<S>;

    fn layer(&self, inner: S) -> Self::Service {
        KeepConnecting { inner, connector: self.clone() }
    }
}

/// Connects in tasks of their own.
#[derive(Clone)]
pub(crate) struct KeepConnecting<S> {
    inner: S,
    connector: Connector,
}

impl<S, R> Service<R> for KeepConnecting<S>
where
    S: Service<R, Error = BoxError>,
    S::Response: Send + 'static,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Connecting<S::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, destination: R) -> Self::Future {
        let attempt = self.connector.take().unwrap_or_else(|| Attempt::start(self.inner.call(destination)));
        Connecting { attempt: Some(attempt), connector: self.connector.clone() }
    }
}

/// A call that waits for a connection. When it is dropped, the attempt is kept for another one.
pub(crate) struct Connecting<C: Send + 'static> {
    attempt: Option<Attempt<C>>,
    connector: Connector,
}

impl<C: Send + 'static> Unpin for Connecting<C> {}

impl<C: Send + 'static> Future for Connecting<C> {
    type Output = Result<C, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(attempt) = &mut self.attempt else { return Poll::Pending }; // it has ended
        let connected = ready!(attempt.poll(cx));
        self.attempt = None;
        Poll::Ready(connected)
    }
}

impl<C: Send + 'static> Drop for Connecting<C> {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            self.connector.keep(attempt);
        }
    }
}

#[cfg(test)]
mod tests;
