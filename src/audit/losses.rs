//! Records that are not in the file.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::AuditView;
use crate::telemetry::{LIFECYCLE, Metrics};

/// Counts them, and says so once for each time that records are lost. Clones share everything.
#[derive(Clone)]
pub(super) struct Losses {
    path: Arc<PathBuf>,
    metrics: Arc<Metrics>,
    /// Why they are lost now.
    problem: Arc<Mutex<Option<String>>>,
}

impl Losses {
    /// None yet in that file.
    pub(super) fn new(path: PathBuf, metrics: Arc<Metrics>) -> Self {
        Self { path: Arc::new(path), metrics, problem: Arc::default() }
    }

    /// One more is lost, for that reason.
    pub(super) fn one_more(&self, why: &str) {
        self.metrics.audit_line_lost();
        if self.problem().replace(why.to_owned()).is_none() {
            let path = self.path.display();
            tracing::error!(target: LIFECYCLE, %path, err = why, "Audit lines are lost");
        }
    }

    /// One was written, and none waits.
    pub(super) fn none_now(&self) {
        if self.problem().take().is_some() {
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
