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

/// A generic cell rate limit: `qps` calls a second, after a burst of `burst`.
pub(crate) struct Rate {
    cells: RateLimiter<NotKeyed, InMemoryState, TokioClock, StateInformationMiddleware>,
    clock: TokioClock,
    qps: NonZeroU32,
    burst: NonZeroU32,
    last: Mutex<Left>,
}

/// How many calls could pass at once, and when that was so.
#[derive(Clone, Copy)]
struct Left {
    calls: u32,
    at: Instant,
}

/// The state of our own limit.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RateLimitView {
    /// `--keyvault-qps`
    pub qps: u32,
    /// `--keyvault-burst`
    pub burst: u32,
    /// How many calls could pass at once now.
    pub left: u32,
    /// How many callers wait for this limit, or for Key Vault's.
    pub waiting: usize,
}

impl Rate {
    /// Starts with the whole burst at hand.
    pub(crate) fn new(qps: NonZeroU32, burst: NonZeroU32) -> Self {
        let start = Instant::now();
        let clock = TokioClock { start };
        let quota = Quota::per_second(qps).allow_burst(burst);
        let cells = RateLimiter::direct_with_clock(quota, clock.clone()).with_middleware();
        Self { cells, clock, qps, burst, last: Mutex::new(Left { calls: burst.get(), at: start }) }
    }

    /// Takes one call from the limit.
    ///
    /// # Errors
    /// The limit is used up; returns how long to wait before asking again.
    pub(super) fn next_cell(&self) -> Result<(), Duration> {
        let mut last = self.last(); // held, so that calls are noted in the order in which they pass
        let passed = self.cells.check().map_err(|not_until| not_until.wait_time_from(self.clock.now()))?;
        *last = Left { calls: passed.remaining_burst_capacity(), at: Instant::now() };
        Ok(())
    }

    /// How many calls could pass at once now, perhaps one more: governor tells of whole calls only.
    fn left(&self) -> u32 {
        let Left { calls, at } = *self.last();
        let regained =
            at.elapsed().as_nanos() * u128::from(self.qps.get()) / Duration::from_secs(1).as_nanos();
        calls.saturating_add(u32::try_from(regained).unwrap_or(u32::MAX)).min(self.burst.get())
    }

    /// Returns the number of calls a second (`--keyvault-qps`).
    pub(super) fn qps(&self) -> NonZeroU32 {
        self.qps
    }

    /// Returns its state, with so many callers that wait.
    pub(super) fn state(&self, waiting: usize) -> RateLimitView {
        RateLimitView { qps: self.qps.get(), burst: self.burst.get(), left: self.left(), waiting }
    }

    fn last(&self) -> MutexGuard<'_, Left> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tokio's clock, so that tests can pause it.
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
