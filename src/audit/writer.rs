//! The thread that writes. It alone waits for the disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError};

use super::file::AuditFile;
use super::losses::Losses;
use super::{Orders, Record};
use crate::telemetry::LIFECYCLE;

pub(super) struct Writer {
    pub(super) file: AuditFile,
    pub(super) queue: Receiver<Option<Record>>,
    pub(super) orders: Arc<Orders>,
    pub(super) losses: Losses,
}

impl Writer {
    /// Writes until told to end, and everything that came before that.
    pub(super) fn run(mut self) {
        while let Some(record) = self.next() {
            if self.orders.reopen.swap(false, Ordering::AcqRel) {
                self.reopen();
            }
            if let Some(record) = record {
                self.write(&record);
            }
        }
        let orders = self.orders.clone();
        drop(self); // and the queue: what comes later is told so, and counted
        orders.end_is_reached();
    }

    /// A record, or `Some(None)` to look at the orders; `None` at the end.
    fn next(&mut self) -> Option<Option<Record>> {
        match self.queue.try_recv() {
            Ok(record) => Some(record),
            Err(TryRecvError::Disconnected) => None,
            // what was taken before the order to end is in the queue by now
            Err(TryRecvError::Empty) if self.orders.end.load(Ordering::Acquire) => self.queue.try_recv().ok(),
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
        let waiting = self.orders.waiting.fetch_sub(1, Ordering::AcqRel) - 1;
        match written {
            Ok(()) if waiting == 0 => self.losses.none_now(),
            Ok(()) => {}
            Err(error) => self.losses.one_more(&error),
        }
    }
}
