//! Connections that hang: they stay open, and no request on them gets a response.

use std::sync::atomic::{AtomicU64, Ordering};

/// The number of a TLS connection, an extension of every request on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionNumber(u64);

/// The numbers of all connections, and which of them hang.
#[derive(Default)]
pub(crate) struct HungConnections {
    /// The number of the latest connection; 0 before the first.
    latest: AtomicU64,
    /// The highest number of those that hang: so do all lower ones.
    hung_up_to: AtomicU64,
}

impl HungConnections {
    /// Numbers a new connection.
    pub(crate) fn register(&self) -> ConnectionNumber {
        ConnectionNumber(self.latest.fetch_add(1, Ordering::SeqCst) + 1)
    }

    /// Makes every connection that exists now hang; later ones do not.
    pub(crate) fn hang_all(&self) {
        self.hung_up_to.store(self.latest.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Returns at once, or never if that connection hangs.
    pub(crate) async fn wait_if_hung(&self, ConnectionNumber(number): ConnectionNumber) {
        if number <= self.hung_up_to.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}
