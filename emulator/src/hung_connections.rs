//! Connections that hang: open, and silent for ever.

use std::sync::atomic::{AtomicU64, Ordering};

/// The number of a TLS connection, in every request that comes by it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection(u64);

/// Numbers connections, and knows which of them hang.
#[derive(Default)]
pub(crate) struct HungConnections {
    latest: AtomicU64,
    hung_up_to: AtomicU64,
}

impl HungConnections {
    /// The next connection.
    pub(crate) fn connected(&self) -> Connection {
        Connection(self.latest.fetch_add(1, Ordering::SeqCst) + 1)
    }

    /// From now on every connection there is hangs; later ones do not.
    pub(crate) fn hang(&self) {
        self.hung_up_to.store(self.latest.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Returns when that connection answers: at once, or never.
    pub(crate) async fn unless_hung(&self, Connection(number): Connection) {
        if number <= self.hung_up_to.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}
