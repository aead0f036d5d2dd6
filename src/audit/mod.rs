//! The audit log (`--audit-log`): one JSON line for each key operation, for whoever has to say later who asked for what.
//!
//! Written by `grpc::audited`. A request hands its record to a bounded queue and never waits; a thread of its own waits
//! for the disk. A record that finds no room, or no disk, is counted, and the log says so once for each time that
//! records are lost.

mod file;
mod losses;
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
use losses::Losses;
pub(crate) use record::{Peer, Record};
use writer::Writer;

/// Records that wait for the disk: some seconds of the busiest cluster, in some 4 MiB.
const MOST_WAITING: usize = 8192;
/// How long the end of the process may wait for the disk.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Takes records. Clones share everything; without a file it takes none.
#[derive(Clone, Default)]
pub(crate) struct AuditLog(Option<Arc<Parts>>);

struct Parts {
    /// `None` only wakes the writer.
    records: SyncSender<Option<Record>>,
    orders: Arc<Orders>,
    losses: Losses,
}

/// What the writer is told beside the records, which may leave no room.
#[derive(Default)]
struct Orders {
    reopen: AtomicBool,
    end: AtomicBool,
    /// Records that were taken and are neither written nor lost.
    waiting: AtomicUsize,
    ended: Mutex<bool>,
    has_ended: Condvar,
}

/// The audit log at one moment.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AuditView {
    /// Why lines are lost now; none while they are written.
    pub problem: Option<String>,
    /// How many were lost since the start.
    pub lines_lost: u64,
}

impl AuditLog {
    /// An audit log in that file, which is made if it is not there.
    ///
    /// # Errors
    /// It cannot be written to; names the flag and the file.
    pub(crate) fn open(path: &Path, metrics: Arc<Metrics>) -> Result<Self, String> {
        let named = |problem: String| format!("--audit-log: {}: {problem}", path.display());
        let file = AuditFile::open(path).map_err(|error| named(error.to_string()))?;
        Self::to(file, MOST_WAITING, metrics).map_err(|error| named(format!("no thread for it: {error}")))
    }

    fn to(file: AuditFile, most_waiting: usize, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (records, queue) = sync_channel(most_waiting);
        let losses = Losses::new(file.path().to_owned(), metrics);
        let orders = Arc::<Orders>::default();
        let writer = Writer { file, queue, orders: orders.clone(), losses: losses.clone() };
        thread::Builder::new().name("audit".into()).spawn(move || writer.run())?;
        Ok(Self(Some(Arc::new(Parts { records, orders, losses }))))
    }

    /// Whether records are wanted.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Appends the record. Never waits.
    pub(crate) fn append(&self, record: Record) {
        let Some(Parts { records, orders, losses }) = self.0.as_deref() else { return };
        orders.waiting.fetch_add(1, Ordering::AcqRel);
        let problem = match records.try_send(Some(record)) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => "the disk is slower than the requests",
            Err(TrySendError::Disconnected(_)) => "the audit log is closed already",
        };
        orders.waiting.fetch_sub(1, Ordering::AcqRel);
        losses.one_more(problem);
    }

    /// The file was renamed: the next lines go to a new one of its name.
    pub(crate) fn reopen(&self) {
        if let Some(parts) = &self.0 {
            parts.orders.reopen.store(true, Ordering::Release);
            let _ = parts.records.try_send(None); // when it is full the writer is awake
        }
    }

    /// Waits until everything that was taken is written, but not for ever. What is taken later is lost.
    pub(crate) fn finish(&self) {
        let Some(left) = self.finish_within(LAST_LINES).filter(|left| *left > 0) else { return };
        tracing::error!(target: LIFECYCLE, lines = left, "Audit lines are lost: the disk does not take them in time");
    }

    /// How many records were not written within that time.
    fn finish_within(&self, limit: Duration) -> Option<usize> {
        let parts = self.0.as_deref()?;
        let orders = &parts.orders;
        orders.end.store(true, Ordering::Release);
        let _ = parts.records.try_send(None); // as above
        let ended = orders.ended.lock().unwrap_or_else(PoisonError::into_inner);
        drop(orders.has_ended.wait_timeout_while(ended, limit, |ended| !*ended));
        Some(orders.waiting.load(Ordering::Acquire))
    }

    /// How it goes; `None` without a file.
    pub(crate) fn view(&self) -> Option<AuditView> {
        self.0.as_ref().map(|parts| parts.losses.view())
    }
}

impl Orders {
    fn end_is_reached(&self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.has_ended.notify_all();
    }
}

#[cfg(test)]
mod tests;
