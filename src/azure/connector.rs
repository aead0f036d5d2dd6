//! Connecting that outlasts the call it was begun for: a slow name server, proxy or TLS inspection costs one call its
//! deadline, and the next call gets the connection.
//!
//! A tower layer in the HTTP client's connector. Each attempt to connect is a task; a call that is dropped leaves its
//! attempts to the next call, of the same client or of another one with the same [`Connector`]. That call waits for the
//! oldest of them, and soon begins one of its own, as the old one may never end. The first connection counts.

mod attempt;

use std::any::Any;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};
use tower::{BoxError, Layer, Service};

use attempt::{Attempt, MAX_IDLE, Parked};

/// The time for which a call waits for the attempt of an earlier call alone.
const OWN_ATTEMPT_AFTER: Duration = Duration::from_millis(500);
/// The number of attempts that are kept for later calls.
const MAX_PARKED: usize = 4;

/// The attempts to connect to one destination that no call waits for. Clones share them; the clients that use one must
/// have the same destination, trust roots and proxy.
#[derive(Clone, Default)]
pub(crate) struct Connector(Arc<Mutex<Vec<Box<dyn Parked>>>>);

impl Connector {
    fn parked(&self) -> MutexGuard<'_, Vec<Box<dyn Parked>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the oldest attempt that may still bring a connection.
    fn take<C: Send + 'static>(&self) -> Option<Attempt<C>> {
        let mut parked = self.parked();
        parked.retain_mut(|attempt| attempt.is_usable());
        let oldest = (0..parked.len()).min_by_key(|at| parked[*at].began())?;
        let attempt: Box<dyn Any> = parked.swap_remove(oldest);
        attempt.downcast().ok().map(|attempt| *attempt)
    }

    /// Keeps the attempt for a later call, and with too many the oldest ones, which are nearest to their end.
    fn park<C: Send + 'static>(&self, attempt: Attempt<C>) {
        let mut parked = self.parked();
        if parked.is_empty() {
            self.close_unused();
        }
        parked.push(Box::new(attempt));
        parked.retain_mut(|attempt| attempt.is_usable());
        if parked.len() > MAX_PARKED
            && let Some(youngest) = (0..parked.len()).max_by_key(|at| parked[*at].began())
        {
            parked.swap_remove(youngest);
        }
    }

    /// Closes connections that no call has taken in time, for as long as anything is parked.
    fn close_unused(&self) {
        let connector = self.clone();
        tokio::spawn(async move {
            loop {
                sleep(MAX_IDLE).await;
                let mut parked = connector.parked();
                parked.retain_mut(|attempt| attempt.is_usable());
                if parked.is_empty() {
                    return;
                }
            }
        });
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
        Connecting {
            earlier: self.connector.take(),
            own: None,
            begin: Some(Box::pin(self.inner.call(destination))),
            begin_at: Box::pin(sleep(OWN_ATTEMPT_AFTER)),
            connector: self.connector.clone(),
        }
    }
}

type Connect<C> = Pin<Box<dyn Future<Output = Result<C, BoxError>> + Send>>;

/// A call that waits for a connection. When it is dropped, its attempts are kept for another one.
pub(crate) struct Connecting<C: Send + 'static> {
    /// The attempt of an earlier call.
    earlier: Option<Attempt<C>>,
    own: Option<Attempt<C>>,
    /// Its own attempt, until that is begun.
    begin: Option<Connect<C>>,
    begin_at: Pin<Box<Sleep>>,
    connector: Connector,
}

impl<C: Send + 'static> Unpin for Connecting<C> {}

impl<C: Send + 'static> Future for Connecting<C> {
    type Output = Result<C, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(Poll::Ready(connected)) = self.earlier.as_mut().map(|attempt| attempt.poll(cx)) {
            self.earlier = None;
            if connected.is_ok() {
                return Poll::Ready(connected); // the failure of an earlier attempt is none of this call
            }
        }
        if (self.earlier.is_none() || self.begin_at.as_mut().poll(cx).is_ready())
            && let Some(connect) = self.begin.take()
        {
            self.own = Some(Attempt::start(connect));
        }
        match self.own.as_mut().map(|attempt| attempt.poll(cx)) {
            Some(Poll::Ready(connected)) => {
                self.own = None;
                Poll::Ready(connected)
            }
            _ => Poll::Pending,
        }
    }
}

impl<C: Send + 'static> Drop for Connecting<C> {
    fn drop(&mut self) {
        for attempt in [self.earlier.take(), self.own.take()].into_iter().flatten() {
            self.connector.park(attempt);
        }
    }
}

#[cfg(test)]
mod tests;
