//! The state of one connection, shared by its I/O and its calls: whether to apply backpressure, and when the connection
//! expires.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::grpc::transport::PREFACE_LENGTH;

/// The time within which a client must send the connection preface.
pub(super) const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
/// The time for which a client may accept nothing that is written to it.
pub(super) const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The time for which a call may be in flight: the longest deadline, and time to receive the response.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(90);
/// The interval at which the last two are checked.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// The grace period of a drain: the time after the end of its last call for which a connection stays open.
pub(super) const DRAIN_GRACE_PERIOD: Duration = Duration::from_millis(500);
/// Tasks of calls that have not yet been admitted or refused; with more of them nothing more is read.
const MAX_PENDING_TASKS: usize = 16;
/// Calls of each connection that need none of the permits that all connections share.
pub(in crate::grpc) const RESERVED_CALLS: usize = 2;

/// The state of one connection. Travels with each of its requests; clones share it.
#[derive(Clone, Default)]
pub(in crate::grpc) struct ConnectionState(Arc<Shared>);

struct Shared {
    reserved_permits: Arc<Semaphore>,
    activity: Mutex<Activity>,
}

#[derive(Default)]
struct Activity {
    /// Bytes of the connection preface that were read.
    preface_bytes: usize,
    /// The start of each call in flight, by number.
    calls: BTreeMap<u64, Instant>,
    next_call: u64,
    /// The end of the last call.
    last_call_end: Option<Instant>,
    /// The start of the write stall, while there is one.
    stalled_since: Option<Instant>,
    /// The number of tasks that run calls.
    tasks: usize,
    /// The waker of the reader while backpressure is applied.
    reader: Option<Waker>,
}

/// A guard of one call in flight on a connection, which ends when it is dropped.
pub(in crate::grpc) struct CallGuard(ConnectionState, u64);

/// A guard of the task of one call, which ends when it is dropped.
struct TaskGuard(ConnectionState);

impl Default for Shared {
    fn default() -> Self {
        Self { reserved_permits: Arc::new(Semaphore::new(RESERVED_CALLS)), activity: Mutex::default() }
    }
}

impl ConnectionState {
    /// Returns one of the permits that are reserved for this connection, if one is free.
    pub(in crate::grpc) fn reserved_permit(&self) -> Option<OwnedSemaphorePermit> {
        self.0.reserved_permits.clone().try_acquire_owned().ok()
    }

    /// Counts a call as in flight until the guard is dropped.
    pub(in crate::grpc) fn track_call(&self) -> CallGuard {
        let mut activity = self.activity();
        let number = activity.next_call;
        activity.next_call += 1;
        activity.calls.insert(number, Instant::now());
        activity.wake_reader();
        drop(activity);
        CallGuard(self.clone(), number)
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.0.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that `count` bytes were read.
    pub(super) fn record_read(&self, count: usize) {
        let mut activity = self.activity();
        activity.preface_bytes = (activity.preface_bytes + count).min(PREFACE_LENGTH);
    }

    /// Records a write, and whether the client accepted any of it.
    pub(super) fn record_write(&self, is_accepted: bool) {
        let mut activity = self.activity();
        if is_accepted {
            activity.stalled_since = None;
            activity.wake_reader();
        } else {
            activity.stalled_since.get_or_insert_with(Instant::now);
        }
    }

    fn has_preface(&self) -> bool {
        self.activity().preface_bytes == PREFACE_LENGTH
    }

    /// Returns whether to read nothing now, because more requests would only queue more responses. The task is woken
    /// when that changes.
    pub(super) fn applies_backpressure(&self, cx: &Context<'_>) -> bool {
        let mut activity = self.activity();
        let is_applied =
            activity.stalled_since.is_some() || activity.tasks > activity.calls.len() + MAX_PENDING_TASKS;
        activity.reader = is_applied.then(|| cx.waker().clone());
        is_applied
    }

    /// Returns whether no call is in flight and the grace period of the last one has passed.
    fn is_idle(&self) -> bool {
        let activity = self.activity();
        activity.tasks == 0
            && activity.calls.is_empty()
            && activity.stalled_since.is_none()
            && activity.last_call_end.is_none_or(|end| end.elapsed() >= DRAIN_GRACE_PERIOD)
    }

    /// Returns whether a write has stalled or a call has been in flight for too long.
    fn is_overdue(&self) -> bool {
        let activity = self.activity();
        activity.stalled_since.is_some_and(|since| since.elapsed() >= WRITE_STALL_TIMEOUT)
            || activity.calls.first_key_value().is_some_and(|(_, start)| start.elapsed() >= CALL_TIMEOUT)
    }

    /// Waits until the connection is to be closed.
    pub(super) async fn expired(self, mut draining: watch::Receiver<bool>) {
        let mut draining = Box::pin(async move {
            let _ = draining.wait_for(|draining| *draining).await; // an error: the server has ended, so it drains
        });
        let mut is_draining = timeout(PREFACE_TIMEOUT, &mut draining).await.is_ok();
        if !self.has_preface() {
            return;
        }
        while !self.is_overdue() {
            if is_draining {
                sleep(DRAIN_GRACE_PERIOD).await;
                if self.is_idle() {
                    return;
                }
            } else {
                is_draining = timeout(CHECK_INTERVAL, &mut draining).await.is_ok();
            }
        }
    }
}

impl Activity {
    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// Spawns a task for each call of this connection.
impl<F: Future<Output: Send> + Send + 'static> Executor<F> for ConnectionState {
    fn execute(&self, call: F) {
        self.activity().tasks += 1;
        let guard = TaskGuard(self.clone());
        tokio::spawn(async move {
            call.await;
            drop(guard);
        });
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        let mut activity = self.0.activity();
        activity.tasks -= 1;
        activity.wake_reader();
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        let mut activity = self.0.activity();
        activity.calls.remove(&self.1);
        activity.last_call_end = Some(Instant::now());
    }
}
