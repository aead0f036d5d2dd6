//! The state of the engine that outlives the actors: a restart neither grants a new burst nor forgets a throttling or an
//! outage.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::circuit_breaker::{CircuitBreaker, Outage};
use super::hedging::HedgeBudget;
use super::latency::Latencies;
use super::rate_limit::{RateLimit, RateLimitView};
use super::throttle::Throttle;

/// The state that all engines of one vault share.
pub(crate) struct SharedState {
    /// The plugin's own limit.
    pub(super) rate_limit: RateLimit,
    /// The limit of Key Vault.
    pub(super) throttle: Throttle,
    /// The circuit breaker.
    pub(super) breaker: CircuitBreaker,
    /// The latencies of successful calls.
    pub(super) latencies: Latencies,
    /// The budget of hedges.
    pub(super) hedge_budget: HedgeBudget,
    /// The time of the latest successful call, in Unix seconds; 0 for never.
    last_success: AtomicU64,
    /// The number of callers that wait for the rate limit or the throttle.
    waiting: AtomicUsize,
}

/// A drop guard of a caller that waits for the rate limit or the throttle.
pub(super) struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SharedState {
    /// Creates the state before the first call, with a limit of `qps` calls a second after a burst of `burst`.
    pub(crate) fn new(qps: NonZeroU32, burst: NonZeroU32) -> Self {
        Self {
            rate_limit: RateLimit::new(qps, burst),
            throttle: Throttle::default(),
            breaker: CircuitBreaker::default(),
            latencies: Latencies::default(),
            hedge_budget: HedgeBudget::default(),
            last_success: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Records the success of a call that was sent then.
    pub(super) fn succeeded(&self, sent: Instant, latency: Duration) {
        self.latencies.record(latency);
        self.throttle.succeeded(sent);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_success.store(now.as_secs(), Ordering::Relaxed);
    }

    /// Returns the time of the latest successful call.
    pub(crate) fn last_success(&self) -> Option<SystemTime> {
        let seconds = self.last_success.load(Ordering::Relaxed);
        (seconds > 0).then(|| UNIX_EPOCH + Duration::from_secs(seconds))
    }

    /// Returns the outage for which the circuit breaker is open; `None` when it is closed.
    pub(crate) fn outage(&self) -> Option<Outage> {
        self.breaker.outage()
    }

    /// Returns the time for which the throttle still blocks all calls.
    pub(crate) fn throttled_for(&self) -> Option<Duration> {
        self.throttle.blocked_for()
    }

    /// Counts one more waiting caller, until the result is dropped.
    pub(super) fn count_waiting(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(&self.waiting)
    }

    /// Returns the state of the plugin's own limit.
    pub(crate) fn rate_limit(&self) -> RateLimitView {
        self.rate_limit.view(self.waiting.load(Ordering::Relaxed))
    }

    /// Returns whether the throttle blocks calls, or spaces them out.
    pub(crate) fn is_throttled(&self) -> bool {
        self.throttle.is_limiting()
    }
}
