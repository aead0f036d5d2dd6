//! The limit on open connections.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::telemetry::LogDedup;

/// Open connections at a time; more are closed. kube-apiserver has one or two, and the health check one.
const MAX_CONNECTIONS: usize = 1280;

/// The limit on open connections. More are closed: queueing them would only hide that there are too many.
pub(in crate::grpc) struct ConnectionLimit {
    permits: Arc<Semaphore>,
    log_dedup: LogDedup<()>,
}

impl Default for ConnectionLimit {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(MAX_CONNECTIONS)), log_dedup: LogDedup::once() }
    }
}

impl ConnectionLimit {
    /// Returns a permit for one more connection; `None` when there are too many.
    pub(in crate::grpc) fn permit(&self) -> Option<OwnedSemaphorePermit> {
        let permit = self.permits.clone().try_acquire_owned().ok();
        if permit.is_none() && self.log_dedup.should_log(()) {
            tracing::warn!("{MAX_CONNECTIONS} connections are open: more are closed");
        }
        if self.permits.available_permits() > MAX_CONNECTIONS / 2 {
            self.log_dedup.recover();
        }
        permit
    }
}
