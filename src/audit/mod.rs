//! The audit log (`--audit-log`): one JSON line for each key operation.
//!
//! `grpc::layers::audit` appends the records. A request puts its record into a bounded queue and never waits; a
//! dedicated thread waits for the disk. A record that is dropped because the queue is full, or that cannot be written,
//! is counted, and logged once per outage.

mod file;
mod lost_records;
mod record;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::telemetry::{LIFECYCLE, Metrics};
use file::AuditFile;
pub(crate) use file::check_path;
use lost_records::LostRecords;
pub(crate) use record::{Peer, Record};
use writer::Writer;

/// Records in the queue: some seconds of the busiest cluster, in some 4 MiB.
const QUEUE_CAPACITY: usize = 8192;
/// The time for which the end of the process waits until the queue is flushed.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The audit log. Clones share it; the default one is off.
#[derive(Clone, Default)]
pub(crate) struct AuditLog(Option<Arc<Shared>>);

struct Shared {
    /// `None` only wakes the writer.
    queue: SyncSender<Option<Record>>,
    state: Arc<WriterState>,
    lost: LostRecords,
}

/// The state of the writer, and the requests to it, for which the queue may have no room.
#[derive(Default)]
struct WriterState {
    is_reopen_requested: AtomicBool,
    is_stop_requested: AtomicBool,
    /// The number of records that are neither written nor lost.
    queued: AtomicUsize,
    is_stopped: Mutex<bool>,
    stopped: Condvar,
}

/// A snapshot of the audit log.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AuditView {
    /// The reason why records are lost now; `None` while they are written.
    pub problem: Option<String>,
    /// The number of records lost since the start.
    pub lines_lost: u64,
}

impl AuditLog {
    /// Opens an audit log in the file at that path, or creates the file, and starts the writer.
    ///
    /// # Errors
    /// A sentence with the flag and the path, when the file cannot be opened or the thread cannot be started.
    pub(crate) fn open(path: &Path, metrics: Arc<Metrics>) -> Result<Self, String> {
        let named = |problem: String| format!("--audit-log: {}: {problem}", path.display());
        let file = AuditFile::open(path).map_err(|error| named(error.to_string()))?;
        Self::start(file, QUEUE_CAPACITY, metrics)
            .map_err(|error| named(format!("no thread for it: {error}")))
    }

    /// Starts the writer.
    ///
    /// # Errors
    /// The thread cannot be started.
    fn start(file: AuditFile, queue_capacity: usize, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (sender, queue) = sync_channel(queue_capacity);
        let lost = LostRecords::new(file.path().to_owned(), metrics);
        let state = Arc::<WriterState>::default();
        let writer = Writer { file, queue, state: state.clone(), lost: lost.clone() };
        thread::Builder::new().name("audit".into()).spawn(move || writer.run())?;
        Ok(Self(Some(Arc::new(Shared { queue: sender, state, lost }))))
    }

    /// Returns whether there is a file, so that records are needed.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Queues the record, or drops it when the queue is full. Never waits.
    pub(crate) fn append(&self, record: Record) {
        let Some(Shared { queue, state, lost }) = self.0.as_deref() else { return };
        state.queued.fetch_add(1, Ordering::AcqRel);
        let problem = match queue.try_send(Some(record)) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => "the disk is slower than the requests",
            Err(TrySendError::Disconnected(_)) => "the audit log is closed already",
        };
        state.queued.fetch_sub(1, Ordering::AcqRel);
        lost.add(problem);
    }

    /// Reopens the file after it was renamed: later lines go to the file that is then at the path.
    pub(crate) fn reopen(&self) {
        if let Some(Shared { queue, state, .. }) = self.0.as_deref() {
            state.is_reopen_requested.store(true, Ordering::Release);
            let _ = queue.try_send(None); // if it is full the writer is awake
        }
    }

    /// Stops the writer, and waits at most [`FLUSH_TIMEOUT`] until the queue is flushed. Later records are lost.
    pub(crate) fn finish(&self) {
        let Some(queued) = self.finish_within(FLUSH_TIMEOUT).filter(|queued| *queued > 0) else { return };
        tracing::error!(target: LIFECYCLE, lines = queued, "Audit lines are lost: the disk does not take them in time");
    }

    /// Returns the number of records that were not written within `timeout`.
    fn finish_within(&self, timeout: Duration) -> Option<usize> {
        let Shared { queue, state, .. } = self.0.as_deref()?;
        state.is_stop_requested.store(true, Ordering::Release);
        let _ = queue.try_send(None); // as above
        let is_stopped = state.is_stopped.lock().unwrap_or_else(PoisonError::into_inner);
        drop(state.stopped.wait_timeout_while(is_stopped, timeout, |is_stopped| !*is_stopped));
        Some(state.queued.load(Ordering::Acquire))
    }

    /// Returns a snapshot; `None` without a file.
    pub(crate) fn view(&self) -> Option<AuditView> {
        self.0.as_ref().map(|shared| shared.lost.view())
    }
}

impl WriterState {
    fn set_stopped(&self) {
        *self.is_stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stopped.notify_all();
    }
}

#[cfg(test)]
mod tests;
