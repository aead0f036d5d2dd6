//! A warning once for each time that something is full, and not once for each client that it concerns.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether it is full now, as far as was said.
#[derive(Default)]
pub(super) struct Episode(AtomicBool);

impl Episode {
    /// Whether this is news.
    pub(super) fn begins(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    /// There is room again.
    pub(super) fn ends(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
