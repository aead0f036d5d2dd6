//! The circuit breaker: when Key Vault is down, callers are told so at once, and one call at a time looks for its
//! return.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::ExponentialBackoff;
use tokio::time::Instant;

use super::{Failure, VaultError};
use crate::backoff;
use crate::telemetry::LIFECYCLE;

/// It opens after so many failures without a success in between, …
const OPENS_AFTER: u32 = 5;
/// … the first of them so long ago: about as long as kube-apiserver waits for one call.
const OPENS_AFTER_TIME: Duration = Duration::from_millis(2500);
/// No answer within less than this says more about the caller's deadline than about Key Vault.
pub(super) const SILENCE: Duration = Duration::from_secs(1);
/// Failures so far apart have nothing to do with each other.
const STREAK: Duration = Duration::from_secs(60);
/// A probe that takes longer is not waited for by others: another may be made.
const PROBE_LASTS: Duration = Duration::from_secs(2);
/// The first pause before a probe, and the longest before jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Counts failures. Outlives the actors that share it.
#[derive(Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Default)]
struct State {
    failures: u32,
    since: Option<Instant>,
    latest: Option<Instant>,
    last: Option<VaultError>,
    open: Option<Open>,
}

struct Open {
    pauses: ExponentialBackoff,
    probe_at: Instant,
    /// When the probe on its way was sent.
    probing: Option<Instant>,
}

impl Open {
    fn is_probed(&self) -> bool {
        self.probing.is_some_and(|sent| sent.elapsed() < PROBE_LASTS)
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
    breaker: &'a Breaker,
    sent: Instant,
    probes: bool,
}

impl Breaker {
    /// Whether calls may be made now.
    ///
    /// # Errors
    /// Key Vault is down, and it is not time for a probe or another is on its way.
    pub(crate) fn check(&self) -> Result<(), Down> {
        self.state().allows()
    }

    /// The right to make a call now: while the breaker is open, as its probe.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(crate) fn permit(&self) -> Result<Permit<'_>, Down> {
        let mut state = self.state();
        state.allows()?;
        let sent = Instant::now();
        let probes = state.open.as_mut().map(|open| open.probing = Some(sent)).is_some();
        Ok(Permit { breaker: self, sent, probes })
    }

    /// Whether it is open.
    pub(crate) fn is_open(&self) -> bool {
        self.state().open.is_some()
    }

    /// Why it is open; `None` when it is closed.
    pub(crate) fn down(&self) -> Option<Down> {
        let state = self.state();
        state.open.is_some().then(|| state.down())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn allows(&self) -> Result<(), Down> {
        match &self.open {
            Some(open) if open.is_probed() || Instant::now() < open.probe_at => Err(self.down()),
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

    fn failed(&mut self, error: &VaultError, probed: bool) {
        let now = Instant::now();
        if self.open.is_none() && self.latest.is_some_and(|latest| now - latest > STREAK) {
            (self.failures, self.since) = (0, None);
        }
        self.latest = Some(now);
        self.failures += 1;
        self.last = Some(error.clone());
        let since = *self.since.get_or_insert(now);
        match &mut self.open {
            Some(open) if probed => {
                let pause = open.pauses.next().unwrap_or(LONGEST_PAUSE);
                (open.probe_at, open.probing) = (now + pause, None);
            }
            None if self.failures >= OPENS_AFTER && now - since >= OPENS_AFTER_TIME => {
                let mut pauses = backoff::jittered(FIRST_PAUSE, LONGEST_PAUSE);
                let probe_at = now + pauses.next().unwrap_or(FIRST_PAUSE);
                self.open = Some(Open { pauses, probe_at, probing: None });
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
        if before.open.is_some() {
            let lasted_s = before.since.map(|since| since.elapsed().as_secs());
            tracing::info!(target: LIFECYCLE, lasted_s, "Key Vault answers again");
        }
    }

    /// The call failed. Whether that says that Key Vault is down depends on how.
    pub(crate) fn failed(self, error: &VaultError) {
        match error.failure {
            Failure::TimedOut if self.sent.elapsed() < SILENCE => {}
            Failure::ServerError | Failure::Unreachable | Failure::TimedOut => {
                self.breaker.state().failed(error, self.probes);
            }
            // these come from here, or from a gateway
            Failure::NoToken | Failure::WrongResource | Failure::Malformed => {}
            _ => self.answered(),
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.probes
            && let Some(open) = &mut self.breaker.state().open
            && open.probing == Some(self.sent)
        {
            open.probing = None;
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

    async fn fails(breaker: &Breaker, failure: Failure, times: u32) {
        for _ in 0..times {
            let permit = breaker.permit().unwrap_or_else(|down| panic!("{down:?}"));
            advance(Duration::from_secs(1)).await;
            permit.failed(&error(failure));
        }
    }

    async fn opened() -> Breaker {
        let breaker = Breaker::default();
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
        let breaker = Breaker::default();
        for _ in 0..100 {
            breaker.permit().unwrap_or_else(|down| panic!("{down:?}")).failed(&error(Failure::Unreachable));
        }
        assert!(!breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_at_a_time_looks_for_the_vault_s_return() {
        let breaker = opened().await;
        advance(2 * FIRST_PAUSE).await;
        let probe = breaker.permit();
        assert!(probe.is_ok() && breaker.permit().is_err());
        drop(probe); // its caller has gone: another may probe
        assert!(breaker.permit().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_never_ends_keeps_nobody_from_another() {
        let breaker = opened().await;
        advance(2 * FIRST_PAUSE).await;
        let stuck = breaker.permit();
        advance(PROBE_LASTS).await;
        let second = breaker.permit();
        assert!(stuck.is_ok() && second.is_ok());
        drop(stuck); // and its late end does not count for the second
        assert!(breaker.permit().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_long_before_do_not_count() {
        let breaker = Breaker::default();
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
            let breaker = Breaker::default();
            fails(&breaker, Failure::ServerError, OPENS_AFTER - 1).await;
            fails(&breaker, failure, 1).await;
            fails(&breaker, Failure::ServerError, OPENS_AFTER - 1).await;
            assert!(!breaker.is_open(), "{failure:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn callers_with_short_deadlines_do_not_open_it() {
        let breaker = Breaker::default();
        for _ in 0..100 {
            let permit = breaker.permit().unwrap_or_else(|down| panic!("{down:?}"));
            advance(Duration::from_millis(50)).await;
            permit.failed(&error(Failure::TimedOut));
        }
        assert!(!breaker.is_open());
    }
}
