//! What is known of the traffic to the vault. Outlives the actors that share it: a restart grants no new burst, and
//! forgets neither a throttling nor an outage.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::circuit_breaker::{CircuitBreaker, Down};
use super::hedging::HedgeBudget;
use super::latency::Latencies;
use super::rate_limit::{Rate, RateLimitView};
use super::throttle::Throttle;

/// Shared by every engine of one vault.
pub(crate) struct SharedState {
    /// Our own limit.
    pub(super) rate: Rate,
    /// Key Vault's limit.
    pub(super) throttle: Throttle,
    /// Whether Key Vault is down.
    pub(super) breaker: CircuitBreaker,
    /// How long it takes.
    pub(super) latencies: Latencies,
    /// How many second attempts there may be.
    pub(super) hedges: HedgeBudget,
    /// When a call last succeeded, in Unix seconds; 0 is never.
    last_success: AtomicU64,
    /// How many callers wait for one of the limits.
    waiting: AtomicUsize,
}

/// A caller that waits for one of the limits, for as long as it lives.
pub(super) struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SharedState {
    /// Nothing is known yet; `qps` calls a second after a burst of `burst`.
    pub(crate) fn new(qps: NonZeroU32, burst: NonZeroU32) -> Self {
        Self {
            rate: Rate::new(qps, burst),
            throttle: Throttle::default(),
            breaker: CircuitBreaker::default(),
            latencies: Latencies::default(),
            hedges: HedgeBudget::default(),
            last_success: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
        }
    }

    /// A call that was sent then has succeeded, and took so long.
    pub(super) fn succeeded(&self, sent: Instant, took: Duration) {
        self.latencies.record(took);
        self.throttle.succeeded(sent);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_success.store(now.as_secs(), Ordering::Relaxed);
    }

    /// When a call last succeeded.
    pub(crate) fn last_success(&self) -> Option<SystemTime> {
        let seconds = self.last_success.load(Ordering::Relaxed);
        (seconds > 0).then(|| UNIX_EPOCH + Duration::from_secs(seconds))
    }

    /// Why the circuit breaker is open; `None` when it is closed.
    pub(crate) fn down(&self) -> Option<Down> {
        self.breaker.down()
    }

    /// For how long Key Vault lets no call pass.
    pub(crate) fn throttled_for(&self) -> Option<Duration> {
        self.throttle.closed_for()
    }

    /// One more caller waits, until the result is dropped.
    pub(super) fn waits(&self) -> Waits<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waits(&self.waiting)
    }

    /// The state of our own limit.
    pub(crate) fn rate_limit(&self) -> RateLimitView {
        self.rate.state(self.waiting.load(Ordering::Relaxed))
    }

    /// Whether calls are held back after a throttling.
    pub(crate) fn holds_back(&self) -> bool {
        self.throttle.holds_back()
    }
}
