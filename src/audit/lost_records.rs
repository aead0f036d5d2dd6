//! The records that are lost: dropped, or not written.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::AuditView;
use crate::telemetry::{LIFECYCLE, LogDedup, Metrics};

/// The count of lost records. Logs once when records are lost, and once when they are written again. Clones share it.
#[derive(Clone)]
pub(super) struct LostRecords {
    path: Arc<PathBuf>,
    metrics: Arc<Metrics>,
    log_dedup: Arc<LogDedup<()>>,
    /// The reason why they are lost now.
    problem: Arc<Mutex<Option<String>>>,
}

impl LostRecords {
    /// Makes the count for the file at that path.
    pub(super) fn new(path: PathBuf, metrics: Arc<Metrics>) -> Self {
        Self { path: Arc::new(path), metrics, log_dedup: Arc::new(LogDedup::once()), problem: Arc::default() }
    }

    /// Counts one more, lost for that reason.
    pub(super) fn add(&self, reason: &str) {
        self.metrics.audit_line_lost();
        *self.problem() = Some(reason.to_owned());
        if self.log_dedup.should_log(()) {
            let path = self.path.display();
            tracing::error!(target: LIFECYCLE, %path, err = reason, "Audit lines are lost");
        }
    }

    /// Ends the outage: a record was written, and none is queued.
    pub(super) fn recover(&self) {
        *self.problem() = None;
        if self.log_dedup.recover() {
            let lost = self.metrics.audit_lines_lost();
            tracing::warn!(target: LIFECYCLE, lost_since_start = lost, "Audit lines are written again");
        }
    }

    /// Returns a snapshot.
    pub(super) fn view(&self) -> AuditView {
        AuditView { problem: self.problem().clone(), lines_lost: self.metrics.audit_lines_lost() }
    }

    fn problem(&self) -> MutexGuard<'_, Option<String>> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
