//! The limits on calls to Key Vault, the plugin's own and Key Vault's: callers pass them one by one, the most urgent first.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::priority_queue::{Priority, PriorityQueue};
use super::shared::SharedState;
use crate::kms::{Code, KmsError};

/// A queue before the rate limit and the throttle. Each generation of the actor has its own: a caller that is stuck in a
/// hung generation would block those of the next.
pub(crate) struct Limiter {
    shared: Arc<SharedState>,
    queue: Arc<PriorityQueue>,
}

impl Limiter {
    /// Creates a limiter with an empty queue before the shared limits.
    pub(crate) fn new(shared: Arc<SharedState>) -> Self {
        Self { shared, queue: PriorityQueue::new(1) }
    }

    /// Waits until a call may be made.
    ///
    /// # Errors
    /// `ResourceExhausted`, as soon as it is certain that no call may be made before the deadline; the message names the
    /// limit.
    pub(crate) async fn acquire(&self, priority: Priority, deadline: Instant) -> Result<(), KmsError> {
        self.acquire_if(priority, deadline, || Some(())).await.map(drop)
    }

    /// Waits until a call may be made, and takes it from the limits together with what `admit` returns. If that is `None`,
    /// returns it at once and takes nothing.
    ///
    /// # Errors
    /// As [`Self::acquire`].
    pub(crate) async fn acquire_if<P>(
        &self,
        priority: Priority,
        deadline: Instant,
        admit: impl Fn() -> Option<P>,
    ) -> Result<Option<P>, KmsError> {
        let _waiting = self.shared.count_waiting();
        let blocked = self.shared.throttle.blocked_for();
        if blocked.is_some_and(|wait| Instant::now() + wait >= deadline) {
            return Err(self.refusal());
        }
        let Ok(_permit) = timeout_at(deadline, self.queue.acquire(priority)).await else {
            return Err(self.refusal());
        };
        loop {
            // what it returns is not kept while this waits
            let acquired = admit().map(|admitted| self.try_acquire().map(|()| admitted)).transpose();
            match acquired {
                Ok(admitted) => return Ok(admitted),
                Err(wait) if Instant::now() + wait >= deadline => return Err(self.refusal()),
                Err(wait) => sleep(wait).await,
            }
        }
    }

    /// Takes the permission for a call now.
    ///
    /// # Errors
    /// No call may be made now; returns the time until one may.
    fn try_acquire(&self) -> Result<(), Duration> {
        if let Some(wait) = self.shared.throttle.wait() {
            return Err(wait);
        }
        self.shared.rate_limit.try_acquire()?;
        self.shared.throttle.record_call();
        Ok(())
    }

    fn refusal(&self) -> KmsError {
        let message = match self.shared.throttle.blocked_for() {
            Some(wait) => {
                format!("throttled by Key Vault: no call for another {:.1} s", wait.as_secs_f64())
            }
            None if self.shared.throttle.is_limiting() => {
                "throttled by Key Vault a moment ago: calls pass one by one again".to_owned()
            }
            None => {
                let limit = self.shared.rate_limit.qps();
                format!("the plugin's limit of {limit} Key Vault calls a second (--keyvault-qps) is used up")
            }
        };
        KmsError::new(Code::ResourceExhausted, message)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::vault::RateLimitView;

    fn limiter(qps: u32, burst: u32) -> Arc<Limiter> {
        let [qps, burst] = [qps, burst].map(|number| NonZeroU32::new(number).unwrap());
        Arc::new(Limiter::new(Arc::new(SharedState::new(qps, burst))))
    }

    fn within(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_the_rest_at_the_rate() {
        let limiter = limiter(10, 5);
        let start = Instant::now();
        for _ in 0..15 {
            limiter.acquire(Priority::Encrypt, within(60)).await.unwrap();
        }
        let elapsed = start.elapsed();
        assert!(
            elapsed >= Duration::from_millis(990) && elapsed < Duration::from_millis(1100),
            "{elapsed:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_state_tells_what_is_left_of_the_burst_and_that_it_comes_back_at_the_rate() {
        let limiter = limiter(10, 5);
        let left = || limiter.shared.rate_limit().left;
        assert_eq!(limiter.shared.rate_limit(), RateLimitView { qps: 10, burst: 5, left: 5, waiting: 0 });
        for made in 1..=5 {
            limiter.try_acquire().unwrap();
            assert_eq!(left(), 5 - made);
        }
        for (millis, expected) in [(99, 0), (1, 1), (250, 3), (10_000, 5)] {
            tokio::time::advance(Duration::from_millis(millis)).await;
            assert_eq!(left(), expected, "after another {millis} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_counted_until_it_passes_or_goes_away_whatever_limiter_it_waits_at() {
        let before = limiter(1, 1);
        let after = Limiter::new(before.shared.clone()); // that of the next generation
        before.try_acquire().unwrap();
        let waiting = || before.shared.rate_limit().waiting;
        let mut passes = Box::pin(before.acquire(Priority::Encrypt, within(60)));
        let mut goes = Box::pin(after.acquire(Priority::Encrypt, within(60)));
        assert!(futures_util::poll!(&mut passes).is_pending() && futures_util::poll!(&mut goes).is_pending());
        assert_eq!(waiting(), 2);
        drop(goes);
        assert_eq!(waiting(), 1);
        passes.await.unwrap();
        assert_eq!(waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn decrypts_pass_before_encrypts_and_probes_last_each_in_the_order_they_came() {
        let limiter = limiter(10, 1);
        limiter.acquire(Priority::Probe, within(60)).await.unwrap();
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut callers = Vec::new();
        for (i, priority) in
            [Priority::Probe, Priority::Probe, Priority::Encrypt, Priority::Decrypt, Priority::Decrypt]
                .into_iter()
                .enumerate()
        {
            let (limiter, order) = (limiter.clone(), order.clone());
            callers.push(tokio::spawn(async move {
                limiter.acquire(priority, within(60)).await.unwrap();
                order.lock().unwrap().push(i);
            }));
            tokio::task::yield_now().await;
        }
        for caller in callers {
            caller.await.unwrap();
        }
        // the first already has the queue's permit when the others come
        assert_eq!(*order.lock().unwrap(), [0, 3, 4, 2, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_cannot_pass_before_its_deadline_is_refused_at_once_and_told_whose_limit_it_is() {
        let limiter = limiter(1, 1);
        limiter.acquire(Priority::Decrypt, within(1)).await.unwrap();
        let start = Instant::now();
        let soon = start + Duration::from_millis(500);
        let error = limiter.acquire(Priority::Decrypt, soon).await.unwrap_err();
        assert_eq!((error.code, start.elapsed()), (Code::ResourceExhausted, Duration::ZERO));
        assert!(error.message.contains("--keyvault-qps"), "{error}");
        limiter.shared.throttle.throttled(start, Some(Duration::from_secs(60)));
        let error = limiter.acquire(Priority::Decrypt, within(3)).await.unwrap_err();
        assert_eq!((error.code, start.elapsed()), (Code::ResourceExhausted, Duration::ZERO));
        assert_eq!(error.message, "throttled by Key Vault: no call for another 60.0 s");
    }
}
