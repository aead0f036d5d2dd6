//! The circuit breaker: when Key Vault is down, callers are told so at once, and one call at a time looks for its
//! return.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::ExponentialBackoff;
use tokio::time::Instant;

use crate::backoff;
use crate::telemetry::LIFECYCLE;
use crate::vault::{Failure, VaultError};

/// It opens after so many failures without a success in between, …
const OPENS_AFTER: u32 = 5;
/// … the first of them so long ago: about as long as kube-apiserver waits for one call.
const OPENS_AFTER_TIME: Duration = Duration::from_millis(2500);
/// No answer within less than this says more about the caller's deadline than about Key Vault.
pub(super) const SILENCE: Duration = Duration::from_secs(1);
/// Failures so far apart have nothing to do with each other.
const STREAK: Duration = Duration::from_secs(60);
/// A trial that takes longer is not waited for by others: another may be made.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// The first pause before a trial, and the longest before jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Counts failures. Outlives the actors that share it.
#[derive(Default)]
pub(crate) struct CircuitBreaker(Mutex<State>);

#[derive(Default)]
struct State {
    failures: u32,
    since: Option<Instant>,
    latest: Option<Instant>,
    last: Option<VaultError>,
    tripped: Option<Tripped>,
}

struct Tripped {
    pauses: ExponentialBackoff,
    trial_at: Instant,
    /// When the trial on its way was sent.
    trial_sent: Option<Instant>,
}

impl Tripped {
    fn has_trial(&self) -> bool {
        self.trial_sent.is_some_and(|sent| sent.elapsed() < TRIAL_TIMEOUT)
    }
}

/// Why no call may be made: what Key Vault did last, and for how long it has not answered as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Down {
    /// The failure of the last attempt.
    pub error: VaultError,
    /// The time since the first failure after the last success.
    pub lasted: Duration,
}

/// The right to make one call. Without an outcome it says nothing of Key Vault.
pub(crate) struct Permit<'a> {
    breaker: &'a CircuitBreaker,
    sent: Instant,
    is_trial: bool,
}

impl CircuitBreaker {
    /// Whether calls may be made now.
    ///
    /// # Errors
    /// Key Vault is down, and it is not time for a trial or another is on its way.
    pub(crate) fn check(&self) -> Result<(), Down> {
        self.state().allows()
    }

    /// The right to make a call now: while the breaker is open, as its trial.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(crate) fn permit(&self) -> Result<Permit<'_>, Down> {
        let mut state = self.state();
        state.allows()?;
        let sent = Instant::now();
        let is_trial = state.tripped.as_mut().map(|tripped| tripped.trial_sent = Some(sent)).is_some();
        Ok(Permit { breaker: self, sent, is_trial })
    }

    /// Whether it is open.
    pub(crate) fn is_open(&self) -> bool {
        self.state().tripped.is_some()
    }

    /// Why it is open; `None` when it is closed.
    pub(crate) fn down(&self) -> Option<Down> {
        let state = self.state();
        state.tripped.is_some().then(|| state.down())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn allows(&self) -> Result<(), Down> {
        match &self.tripped {
            Some(tripped) if tripped.has_trial() || Instant::now() < tripped.trial_at => Err(self.down()),
            _ => Ok(()),
        }
    }

    fn down(&self) -> Down {
        let error = self.last.clone();
        Down {
            error: error.unwrap_or_else(|| VaultError::without_answer(Failure::Unreachable)),
            lasted: self.since.map(|since| since.elapsed()).unwrap_or_default(),
        }
    }

    fn failed(&mut self, error: &VaultError, is_trial: bool) {
        let now = Instant::now();
        if self.tripped.is_none() && self.latest.is_some_and(|latest| now - latest > STREAK) {
            (self.failures, self.since) = (0, None);
        }
        self.latest = Some(now);
        self.failures += 1;
        self.last = Some(error.clone());
        let since = *self.since.get_or_insert(now);
        match &mut self.tripped {
            Some(tripped) if is_trial => {
                let pause = tripped.pauses.next().unwrap_or(LONGEST_PAUSE);
                (tripped.trial_at, tripped.trial_sent) = (now + pause, None);
            }
            None if self.failures >= OPENS_AFTER && now - since >= OPENS_AFTER_TIME => {
                let mut pauses = backoff::jittered(FIRST_PAUSE, LONGEST_PAUSE);
                let trial_at = now + pauses.next().unwrap_or(FIRST_PAUSE);
                self.tripped = Some(Tripped { pauses, trial_at, trial_sent: None });
                let cause = error.cause.as_deref().unwrap_or_default();
                tracing::error!(target: LIFECYCLE, err = %error, cause, "Key Vault is down: calls fail at once");
            }
            _ => {}
        }
    }
}

impl Permit<'_> {
    /// Key Vault answered, be it with a refusal: it is there.
    pub(crate) fn answered(self) {
        let before = std::mem::take(&mut *self.breaker.state());
        if before.tripped.is_some() {
            let lasted_s = before.since.map(|since| since.elapsed().as_secs());
            tracing::info!(target: LIFECYCLE, lasted_s, "Key Vault answers again");
        }
    }

    /// The call failed. Whether that says that Key Vault is down depends on how.
    pub(crate) fn failed(self, error: &VaultError) {
        match error.failure {
            Failure::TimedOut if self.sent.elapsed() < SILENCE => {}
            Failure::ServerError | Failure::Unreachable | Failure::TimedOut => {
                self.breaker.state().failed(error, self.is_trial);
            }
            // these come from here, or from a gateway
            Failure::NoToken | Failure::WrongResource | Failure::Malformed => {}
            _ => self.answered(),
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.is_trial
            && let Some(tripped) = &mut self.breaker.state().tripped
            && tripped.trial_sent == Some(self.sent)
        {
            tripped.trial_sent = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn error(failure: Failure) -> VaultError {
        VaultError::without_answer(failure)
    }

    async fn fails(breaker: &CircuitBreaker, failure: Failure, times: u32) {
        for _ in 0..times {
            let permit = breaker.permit().unwrap_or_else(|down| panic!("{down:?}"));
            advance(Duration::from_secs(1)).await;
            permit.failed(&error(failure));
        }
    }

    async fn opened() -> CircuitBreaker {
        let breaker = CircuitBreaker::default();
        fails(&breaker, Failure::ServerError, OPENS_AFTER).await;
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn a_vault_that_is_down_is_refused_with_the_reason_and_for_how_long() {
        let breaker = opened().await;
        let down = breaker.check().unwrap_err();
        assert_eq!((down.error.failure, down.lasted), (Failure::ServerError, Duration::from_secs(4)));
    }

    #[tokio::test(start_paused = true)]
    async fn many_failures_in_a_moment_do_not_open_it() {
        let breaker = CircuitBreaker::default();
        for _ in 0..100 {
            breaker.permit().unwrap_or_else(|down| panic!("{down:?}")).failed(&error(Failure::Unreachable));
        }
        assert!(!breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn one_trial_at_a_time_looks_for_the_vault_s_return() {
        let breaker = opened().await;
        advance(2 * FIRST_PAUSE).await;
        let trial = breaker.permit();
        assert!(trial.is_ok() && breaker.permit().is_err());
        drop(trial); // its caller has gone: another may trial
        assert!(breaker.permit().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_never_ends_keeps_nobody_from_another() {
        let breaker = opened().await;
        advance(2 * FIRST_PAUSE).await;
        let stuck = breaker.permit();
        advance(TRIAL_TIMEOUT).await;
        let second = breaker.permit();
        assert!(stuck.is_ok() && second.is_ok());
        drop(stuck); // and its late end does not count for the second
        assert!(breaker.permit().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_long_before_do_not_count() {
        let breaker = CircuitBreaker::default();
        fails(&breaker, Failure::ServerError, OPENS_AFTER - 1).await;
        advance(2 * STREAK).await;
        fails(&breaker, Failure::ServerError, 1).await;
        assert!(!breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_failed_probe_there_is_a_pause_and_after_the_first_success_none() {
        let breaker = opened().await;
        advance(2 * FIRST_PAUSE).await;
        fails(&breaker, Failure::Unreachable, 1).await;
        assert!(breaker.check().is_err());
        advance(2 * LONGEST_PAUSE).await;
        breaker.permit().unwrap_or_else(|down| panic!("{down:?}")).answered();
        assert!(breaker.permit().is_ok() && breaker.permit().is_ok() && !breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_shows_that_the_vault_is_there() {
        for failure in [Failure::Forbidden, Failure::Throttled, Failure::NotFound, Failure::Unauthorized] {
            let breaker = CircuitBreaker::default();
            fails(&breaker, Failure::ServerError, OPENS_AFTER - 1).await;
            fails(&breaker, failure, 1).await;
            fails(&breaker, Failure::ServerError, OPENS_AFTER - 1).await;
            assert!(!breaker.is_open(), "{failure:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn callers_with_short_deadlines_do_not_open_it() {
        let breaker = CircuitBreaker::default();
        for _ in 0..100 {
            let permit = breaker.permit().unwrap_or_else(|down| panic!("{down:?}"));
            advance(Duration::from_millis(50)).await;
            permit.failed(&error(Failure::TimedOut));
        }
        assert!(!breaker.is_open());
    }
}
