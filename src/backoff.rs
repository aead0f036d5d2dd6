//! The one shape of backoff: exponential, with jitter. Used wherever something is tried again.

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
