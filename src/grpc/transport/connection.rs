//! One connection. It ends when its client says no hello or takes no answers, and is not read from while its client
//! asks for more than it is given turns for.
//!
//! A client that has said hello and asks nothing may stay for ever: kube-apiserver is silent for minutes.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};

use super::cooperate::Pause;

/// Length of the client's hello, the connection preface (RFC 9113 §3.4).
const HELLO_LENGTH: usize = 24;
/// How long a client may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take nothing of what it was sent.
const STALLED_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a call may be open: the longest deadline, and time to take the answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(90);
/// How often those are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a client may take to go when the daemon drains, after the end of its last call.
const FAREWELL: Duration = Duration::from_millis(500);
/// Bytes that are read before the calls in them get their turn, so that it shows whether their answers are taken.
const TURN: usize = 4 * 1024;
/// Calls that came and did not have their turn yet, neither to be opened nor to be refused; with more of them nothing
/// more is read.
const MOST_NEW: usize = 16;
/// Calls of each connection that need no place among those that all share.
pub(in crate::grpc) const OWN_CALLS: usize = 2;

/// What is known of one connection. Travels with each of its requests.
#[derive(Clone, Default)]
pub(in crate::grpc) struct ConnectionState(Arc<State>);

struct State {
    own_permits: Arc<Semaphore>,
    facts: Mutex<Facts>,
}

#[derive(Default)]
struct Facts {
    /// Bytes of the hello that came.
    hello: usize,
    /// The open calls, by number, and when they began.
    calls: BTreeMap<u64, Instant>,
    next_call: u64,
    /// When the last of them ended.
    last_end: Option<Instant>,
    /// Since when the client takes nothing.
    stalled: Option<Instant>,
    /// The tasks of its calls.
    tasks: usize,
    /// Who wants to read as soon as those are fewer.
    reader: Option<Waker>,
}

/// A call that is open on a connection; ends when dropped.
pub(in crate::grpc) struct CallMark(ConnectionState, u64);

/// The task of one call, from when it came to its end; ends when dropped.
struct TaskMark(ConnectionState);

impl Default for State {
    fn default() -> Self {
        Self { own_permits: Arc::new(Semaphore::new(OWN_CALLS)), facts: Mutex::default() }
    }
}

impl ConnectionState {
    /// Returns one of the permits that only this connection has.
    pub(in crate::grpc) fn own_permit(&self) -> Option<OwnedSemaphorePermit> {
        self.0.own_permits.clone().try_acquire_owned().ok()
    }

    /// A call begins.
    pub(in crate::grpc) fn mark_call(&self) -> CallMark {
        let mut facts = self.facts();
        let number = facts.next_call;
        facts.next_call += 1;
        facts.calls.insert(number, Instant::now());
        facts.wake_reader();
        drop(facts);
        CallMark(self.clone(), number)
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self, count: usize) {
        let mut facts = self.facts();
        facts.hello = (facts.hello + count).min(HELLO_LENGTH);
    }

    fn wrote(&self, took: bool) {
        let mut facts = self.facts();
        match took {
            true => {
                facts.stalled = None;
                facts.wake_reader();
            }
            false => drop(facts.stalled.get_or_insert_with(Instant::now)),
        }
    }

    fn has_said_hello(&self) -> bool {
        self.facts().hello == HELLO_LENGTH
    }

    /// Whether the client is to wait: more requests would only pile up more answers.
    fn holds(&self, cx: &Context<'_>) -> bool {
        let mut facts = self.facts();
        let holds = facts.stalled.is_some() || facts.tasks > facts.calls.len() + MOST_NEW;
        facts.reader = holds.then(|| cx.waker().clone());
        holds
    }

    /// Nothing is asked, and the last answer had time to get through.
    fn is_idle(&self) -> bool {
        let facts = self.facts();
        facts.tasks == 0
            && facts.calls.is_empty()
            && facts.stalled.is_none()
            && facts.last_end.is_none_or(|end| end.elapsed() >= FAREWELL)
    }

    fn is_stuck(&self) -> bool {
        let facts = self.facts();
        let longer = |since: &Instant, than| since.elapsed() >= than;
        facts.stalled.is_some_and(|since| longer(&since, STALLED_TIMEOUT))
            || facts.calls.first_key_value().is_some_and(|(_, since)| longer(since, CALL_TIMEOUT))
    }

    /// Ends when the connection is to be ended.
    async fn overstays(self, mut draining: watch::Receiver<bool>) {
        let mut draining = Box::pin(async move {
            let _ = draining.wait_for(|draining| *draining).await; // an error: the server is gone, so it drains
        });
        let mut drains = timeout(HELLO_TIMEOUT, &mut draining).await.is_ok();
        if !self.has_said_hello() {
            return;
        }
        while !self.is_stuck() {
            if drains {
                sleep(FAREWELL).await;
                if self.is_idle() {
                    return;
                }
            } else {
                drains = timeout(LOOK_EVERY, &mut draining).await.is_ok();
            }
        }
    }
}

impl Facts {
    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// Runs the calls of this connection.
impl<F: Future<Output: Send> + Send + 'static> Executor<F> for ConnectionState {
    fn execute(&self, call: F) {
        self.facts().tasks += 1;
        let mark = TaskMark(self.clone());
        tokio::spawn(async move {
            call.await;
            drop(mark);
        });
    }
}

impl Drop for TaskMark {
    fn drop(&mut self) {
        let mut facts = self.0.facts();
        facts.tasks -= 1;
        facts.wake_reader();
    }
}

impl Drop for CallMark {
    fn drop(&mut self) {
        let mut facts = self.0.facts();
        facts.calls.remove(&self.1);
        facts.last_end = Some(Instant::now());
    }
}

/// A connection that ends when its client overstays.
pub(in crate::grpc) struct Connection<S> {
    inner: S,
    state: ConnectionState,
    overstays: Pin<Box<dyn Future<Output = ()> + Send>>,
    overstayed: bool,
    /// Bytes read since the last pause.
    read: usize,
    pause: Option<Pause>,
    _permit: OwnedSemaphorePermit,
}

impl<S> Connection<S> {
    /// A connection that was just accepted, that holds that permit.
    pub(in crate::grpc) fn new(
        inner: S,
        permit: OwnedSemaphorePermit,
        draining: watch::Receiver<bool>,
    ) -> Self {
        let state = ConnectionState::default();
        let overstays = Box::pin(state.clone().overstays(draining));
        Self { inner, state, overstays, overstayed: false, read: 0, pause: None, _permit: permit }
    }

    /// What is known of it.
    pub(in crate::grpc) fn state(&self) -> ConnectionState {
        self.state.clone()
    }

    fn has_overstayed(&mut self, cx: &mut Context<'_>) -> bool {
        self.overstayed = self.overstayed || self.overstays.as_mut().poll(cx).is_ready();
        self.overstayed
    }

    /// What came of a write.
    fn wrote<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.state.wrote(outcome.is_ready());
        if outcome.is_pending() && self.has_overstayed(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        outcome
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.has_overstayed(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if this.state.holds(cx) {
            return Poll::Pending;
        }
        if this.read >= TURN {
            if !this.pause.get_or_insert_with(|| Pause::start(cx)).is_over() {
                return Poll::Pending;
            }
            (this.read, this.pause) = (0, None);
        }
        let room = buf.remaining().min(TURN - this.read);
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        ready!(Pin::new(&mut this.inner).poll_read(cx, &mut part))?;
        let count = part.filled().len();
        buf.advance(count);
        this.read += count;
        this.state.heard(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.wrote(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        this.wrote(cx, outcome)
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
