//! Admission of calls to Key Vault under both limits, its own and ours: one by one, the most urgent first.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::priority_queue::{Priority, PriorityQueue};
use super::shared::SharedState;
use crate::kms::{Code, KmsError};

/// The queue before the rate and the tap. One for each generation of the actor: a caller that is stuck in a hung
/// generation would block those of the next.
pub(crate) struct Limiter {
    shared: Arc<SharedState>,
    queue: Arc<PriorityQueue>,
}

impl Limiter {
    /// A queue of its own before what is shared.
    pub(crate) fn new(shared: Arc<SharedState>) -> Self {
        Self { shared, queue: PriorityQueue::new(1) }
    }

    /// Waits until this call may be made.
    ///
    /// # Errors
    /// `ResourceExhausted`, at once, when it cannot be made before its deadline; says whose limit that is.
    pub(crate) async fn admit(&self, priority: Priority, deadline: Instant) -> Result<(), KmsError> {
        let _waiting = self.shared.waits();
        let closed = self.shared.throttle.closed_for();
        if closed.is_some_and(|wait| Instant::now() + wait >= deadline) {
            return Err(self.refused());
        }
        let Ok(_permit) = timeout_at(deadline, self.queue.enter(priority)).await else {
            return Err(self.refused());
        };
        while let Err(wait) = self.pass() {
            if Instant::now() + wait >= deadline {
                return Err(self.refused());
            }
            sleep(wait).await;
        }
        Ok(())
    }

    /// Makes a call now, if it may be made.
    ///
    /// # Errors
    /// How long to wait before asking again.
    pub(crate) fn pass(&self) -> Result<(), Duration> {
        if let Some(wait) = self.shared.throttle.wait() {
            return Err(wait);
        }
        self.shared.rate.next_cell()?;
        self.shared.throttle.pass();
        Ok(())
    }

    fn refused(&self) -> KmsError {
        let message = match self.shared.throttle.closed_for() {
            Some(wait) => {
                format!("throttled by Key Vault: no call for another {:.1} s", wait.as_secs_f64())
            }
            None if self.shared.throttle.holds_back() => {
                "throttled by Key Vault a moment ago: calls pass one by one again".to_owned()
            }
            None => {
                let limit = self.shared.rate.qps();
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
            limiter.admit(Priority::Encrypt, within(60)).await.unwrap();
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
        for passed in 1..=5 {
            limiter.pass().unwrap();
            assert_eq!(left(), 5 - passed);
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
        before.pass().unwrap();
        let waiting = || before.shared.rate_limit().waiting;
        let mut passes = Box::pin(before.admit(Priority::Encrypt, within(60)));
        let mut goes = Box::pin(after.admit(Priority::Encrypt, within(60)));
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
        limiter.admit(Priority::Probe, within(60)).await.unwrap();
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut callers = Vec::new();
        for (i, priority) in
            [Priority::Probe, Priority::Probe, Priority::Encrypt, Priority::Decrypt, Priority::Decrypt]
                .into_iter()
                .enumerate()
        {
            let (limiter, order) = (limiter.clone(), order.clone());
            callers.push(tokio::spawn(async move {
                limiter.admit(priority, within(60)).await.unwrap();
                order.lock().unwrap().push(i);
            }));
            tokio::task::yield_now().await;
        }
        for caller in callers {
            caller.await.unwrap();
        }
        // the first waits for the rate already when the others come
        assert_eq!(*order.lock().unwrap(), [0, 3, 4, 2, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_cannot_pass_before_its_deadline_is_refused_at_once_and_told_whose_limit_it_is() {
        let limiter = limiter(1, 1);
        limiter.admit(Priority::Decrypt, within(1)).await.unwrap();
        let start = Instant::now();
        let soon = start + Duration::from_millis(500);
        let error = limiter.admit(Priority::Decrypt, soon).await.unwrap_err();
        assert_eq!((error.code, start.elapsed()), (Code::ResourceExhausted, Duration::ZERO));
        assert!(error.message.contains("--keyvault-qps"), "{error}");
        limiter.shared.throttle.throttled(start, Some(Duration::from_secs(60)));
        let error = limiter.admit(Priority::Decrypt, within(3)).await.unwrap_err();
        assert_eq!((error.code, start.elapsed()), (Code::ResourceExhausted, Duration::ZERO));
        assert_eq!(error.message, "throttled by Key Vault: no call for another 60.0 s");
    }
}
