//! The number of connections that may be open at a time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::telemetry::LogDedup;

/// Connections at a time; more are closed. kube-apiserver has one or two, and the health check one.
const MOST_CONNECTIONS: usize = 1280;
/// Lets in as many connections as there are permits. To let the others wait would only hide that there are too many.
pub(in crate::grpc) struct ConnectionLimit {
    permits: Arc<Semaphore>,
    full: LogDedup<()>,
}

impl Default for ConnectionLimit {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(MOST_CONNECTIONS)), full: LogDedup::once() }
    }
}

impl ConnectionLimit {
    /// Returns the permit of one more connection; `None` when there are too many.
    pub(in crate::grpc) fn permit(&self) -> Option<OwnedSemaphorePermit> {
        let permit = self.permits.clone().try_acquire_owned().ok();
        if permit.is_none() && self.full.should_log(()) {
            tracing::warn!("{MOST_CONNECTIONS} connections are open: more are closed");
        }
        if self.permits.available_permits() > MOST_CONNECTIONS / 2 {
            self.full.recover();
        }
        permit
    }
}
