//! The pauses before retries, of actors, calls and listeners, and the backlog of listeners.

use std::io;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Returns an endless iterator over pauses: `first`, doubling up to `longest`, each with jitter of up to its own length
/// on top.
pub(crate) fn jittered(first: Duration, longest: Duration) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(first)
        .with_max_delay(longest)
        .without_max_times()
        .with_jitter()
        .build()
}

/// Connections that the kernel accepts before this process does: as many as it allows (`net.core.somaxconn`).
pub(crate) const BACKLOG: u32 = i32::MAX as u32;

/// The pause after a connection could not be accepted, usually for lack of file descriptors (EMFILE).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Logs the error and waits, as the next `accept` would fail at once.
pub(crate) async fn after_failed_accept(error: &io::Error) {
    tracing::warn!(err = %error, "A connection could not be accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
