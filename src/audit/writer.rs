//! The thread that writes the file. No other waits for the disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError};

use super::file::AuditFile;
use super::lost_records::LostRecords;
use super::{Record, WriterState};
use crate::telemetry::LIFECYCLE;

/// The writer of the file, at the receiving end of the queue.
pub(super) struct Writer {
    pub(super) file: AuditFile,
    pub(super) queue: Receiver<Option<Record>>,
    pub(super) state: Arc<WriterState>,
    pub(super) lost: LostRecords,
}

impl Writer {
    /// Writes until a stop is requested, and everything that was queued before that.
    pub(super) fn run(mut self) {
        while let Some(record) = self.next() {
            if self.state.is_reopen_requested.swap(false, Ordering::AcqRel) {
                self.reopen();
            }
            if let Some(record) = record {
                self.write(&record);
            }
        }
        let state = self.state.clone();
        drop(self); // and with it the queue: later records are refused, and counted as lost
        state.set_stopped();
    }

    /// Returns the next record, `Some(None)` if it was only woken, or `None` when it is to stop.
    fn next(&mut self) -> Option<Option<Record>> {
        match self.queue.try_recv() {
            Ok(record) => Some(record),
            Err(TryRecvError::Disconnected) => None,
            // a record that was accepted before the request to stop is in the queue by now
            Err(TryRecvError::Empty) if self.state.is_stop_requested.load(Ordering::Acquire) => {
                self.queue.try_recv().ok()
            }
            Err(TryRecvError::Empty) => self.queue.recv().ok(),
        }
    }

    fn reopen(&mut self) {
        let reopened = self.file.reopen();
        let path = self.file.path().display();
        match reopened {
            Ok(()) => tracing::info!(target: LIFECYCLE, %path, "Audit log reopened"),
            Err(error) => {
                const STAYS: &str = "The audit log cannot be reopened, the old file stays";
                tracing::error!(target: LIFECYCLE, %path, err = %error, "{STAYS}");
            }
        }
    }

    fn write(&mut self, record: &Record) {
        let line = serde_json::to_string(record).map_err(|error| error.to_string());
        let written = line.and_then(|line| self.file.write(&line).map_err(|error| error.to_string()));
        let queued = self.state.queued.fetch_sub(1, Ordering::AcqRel) - 1;
        match written {
            Ok(()) if queued == 0 => self.lost.recover(),
            Ok(()) => {}
            Err(error) => self.lost.add(&error),
        }
    }
}
