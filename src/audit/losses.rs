//! Records that are not in the file.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::AuditView;
use crate::telemetry::{LIFECYCLE, LogDedup, Metrics};

/// Counts them, and says so once for each time that records are lost. Clones share everything.
#[derive(Clone)]
pub(super) struct Losses {
    path: Arc<PathBuf>,
    metrics: Arc<Metrics>,
    logged: Arc<LogDedup<()>>,
    /// Why they are lost now.
    problem: Arc<Mutex<Option<String>>>,
}

impl Losses {
    /// None yet in that file.
    pub(super) fn new(path: PathBuf, metrics: Arc<Metrics>) -> Self {
        Self { path: Arc::new(path), metrics, logged: Arc::new(LogDedup::once()), problem: Arc::default() }
    }

    /// One more is lost, for that reason.
    pub(super) fn one_more(&self, why: &str) {
        self.metrics.audit_line_lost();
        *self.problem() = Some(why.to_owned());
        if self.logged.should_log(()) {
            let path = self.path.display();
            tracing::error!(target: LIFECYCLE, %path, err = why, "Audit lines are lost");
        }
    }

    /// One was written, and none waits.
    pub(super) fn none_now(&self) {
        *self.problem() = None;
        if self.logged.recover() {
            let lost = self.metrics.audit_lines_lost();
            tracing::warn!(target: LIFECYCLE, lost_since_start = lost, "Audit lines are written again");
        }
    }

    pub(super) fn view(&self) -> AuditView {
        AuditView { problem: self.problem().clone(), lines_lost: self.metrics.audit_lines_lost() }
    }

    fn problem(&self) -> MutexGuard<'_, Option<String>> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
