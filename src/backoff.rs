//! How long to wait before something is tried again. Used wherever that is done.

use std::io;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Pauses without end: `first`, then twice as long each time up to `longest`, each with jitter of up to its own
/// length on top.
pub(crate) fn jittered(first: Duration, longest: Duration) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(first)
        .with_max_delay(longest)
        .without_max_times()
        .with_jitter()
        .build()
}

/// The pause after a connection could not be accepted: usually there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Says so, and waits: to accept again at once would fail again at once.
pub(crate) async fn after_failed_accept(error: &io::Error) {
    tracing::warn!(err = %error, "A connection could not be accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
