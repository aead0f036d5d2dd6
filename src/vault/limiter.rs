//! The rate limit on calls to Key Vault: callers are let through one by one, in the order they came.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

use crate::kms::{Code, KmsError};

/// A generic cell rate limit: `qps` calls a second, after a burst of `burst`. Outlives the actors that share it, so
/// that a restart grants no new burst.
pub(crate) struct Rate {
    cells: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Nanos>>,
    clock: TokioClock,
    qps: NonZeroU32,
}

impl Rate {
    /// Starts with the whole burst at hand.
    pub(crate) fn new(qps: NonZeroU32, burst: NonZeroU32) -> Self {
        let clock = TokioClock { start: Instant::now() };
        let quota = Quota::per_second(qps).allow_burst(burst);
        Self { cells: RateLimiter::direct_with_clock(quota, clock.clone()), clock, qps }
    }

    fn next_cell(&self) -> Result<(), Duration> {
        self.cells.check().map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }
}

/// The queue before a rate. One for each generation of the actor: a caller that is stuck in a hung generation would
/// block those of the next.
pub(crate) struct Limiter {
    rate: Arc<Rate>,
    turn: Mutex<()>,
}

impl Limiter {
    /// A queue of its own before that rate.
    pub(crate) fn new(rate: Arc<Rate>) -> Self {
        Self { rate, turn: Mutex::new(()) }
    }

    /// Waits for this caller's turn.
    ///
    /// # Errors
    /// `ResourceExhausted`, at once, when the limit would not let the call through before its deadline.
    pub(crate) async fn admit(&self, deadline: Instant) -> Result<(), KmsError> {
        let Ok(_turn) = timeout_at(deadline, self.turn.lock()).await else {
            return Err(self.exhausted());
        };
        while let Err(wait) = self.rate.next_cell() {
            if Instant::now() + wait >= deadline {
                return Err(self.exhausted());
            }
            sleep(wait).await;
        }
        Ok(())
    }

    fn exhausted(&self) -> KmsError {
        let limit = self.rate.qps;
        KmsError::new(
            Code::ResourceExhausted,
            format!("the plugin's limit of {limit} Key Vault calls a second (--keyvault-qps) is used up"),
        )
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

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(qps: u32, burst: u32) -> Arc<Limiter> {
        let [qps, burst] = [qps, burst].map(|number| NonZeroU32::new(number).unwrap());
        Arc::new(Limiter::new(Arc::new(Rate::new(qps, burst))))
    }

    fn within(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_the_rest_at_the_rate() {
        let limiter = limiter(10, 5);
        let start = Instant::now();
        for _ in 0..15 {
            limiter.admit(within(60)).await.unwrap();
        }
        let elapsed = start.elapsed();
        assert!(
            elapsed >= Duration::from_millis(990) && elapsed < Duration::from_millis(1100),
            "{elapsed:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn callers_pass_in_the_order_they_came() {
        let limiter = limiter(10, 1);
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut callers = Vec::new();
        for i in 0..10 {
            let (limiter, order) = (limiter.clone(), order.clone());
            callers.push(tokio::spawn(async move {
                limiter.admit(within(60)).await.unwrap();
                order.lock().unwrap().push(i);
            }));
            tokio::task::yield_now().await;
        }
        for caller in callers {
            caller.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), (0..10).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_cannot_pass_before_its_deadline_is_refused_at_once() {
        let limiter = limiter(1, 1);
        limiter.admit(within(1)).await.unwrap();
        let start = Instant::now();
        let error = limiter.admit(start + Duration::from_millis(500)).await.unwrap_err();
        assert_eq!((error.code, start.elapsed()), (Code::ResourceExhausted, Duration::ZERO));
    }
}
