//! The plugin's own limit on calls to Key Vault (`--keyvault-qps`, `--keyvault-burst`).

use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// A limit of `qps` calls a second after a burst of `burst`, by the generic cell rate algorithm (GCRA).
pub(crate) struct RateLimit {
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, StateInformationMiddleware>,
    clock: TokioClock,
    qps: NonZeroU32,
    burst: NonZeroU32,
    last: Mutex<Remaining>,
}

/// The number of calls that the limit allowed at once after the latest call, and the time of that call.
#[derive(Clone, Copy)]
struct Remaining {
    calls: u32,
    at: Instant,
}

/// The state of the limit, as `/statusz` shows it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RateLimitView {
    /// `--keyvault-qps`
    pub qps: u32,
    /// `--keyvault-burst`
    pub burst: u32,
    /// The number of calls that the limit allows at once now.
    pub left: u32,
    /// The number of callers that wait for this limit, or for the throttle.
    pub waiting: usize,
}

impl RateLimit {
    /// Creates a limit that allows the whole burst at once.
    pub(crate) fn new(qps: NonZeroU32, burst: NonZeroU32) -> Self {
        let start = Instant::now();
        let clock = TokioClock { start };
        let quota = Quota::per_second(qps).allow_burst(burst);
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone()).with_middleware();
        let last = Mutex::new(Remaining { calls: burst.get(), at: start });
        Self { limiter, clock, qps, burst, last }
    }

    /// Takes one call from the limit.
    ///
    /// # Errors
    /// The limit allows no call now; returns the time until it does.
    pub(super) fn try_acquire(&self) -> Result<(), Duration> {
        let mut last = self.last(); // held, so that calls are recorded in the order in which the limit allows them
        let allowed = self.limiter.check().map_err(|not_until| not_until.wait_time_from(self.clock.now()))?;
        *last = Remaining { calls: allowed.remaining_burst_capacity(), at: Instant::now() };
        Ok(())
    }

    /// Returns the number of calls that the limit allows at once now. May be one too high, as governor counts whole calls.
    fn remaining(&self) -> u32 {
        let Remaining { calls, at } = *self.last();
        let regained =
            at.elapsed().as_nanos() * u128::from(self.qps.get()) / Duration::from_secs(1).as_nanos();
        calls.saturating_add(u32::try_from(regained).unwrap_or(u32::MAX)).min(self.burst.get())
    }

    /// Returns the allowed number of calls a second (`--keyvault-qps`).
    pub(super) fn qps(&self) -> NonZeroU32 {
        self.qps
    }

    /// Returns the state of the limit, for which `waiting` callers wait.
    pub(super) fn view(&self, waiting: usize) -> RateLimitView {
        RateLimitView { qps: self.qps.get(), burst: self.burst.get(), left: self.remaining(), waiting }
    }

    fn last(&self) -> MutexGuard<'_, Remaining> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock for governor that reads tokio's, which tests can pause.
#[derive(Clone)]
struct TokioClock {
    start: Instant,
}

impl Clock for TokioClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.start.elapsed())
    }
}
