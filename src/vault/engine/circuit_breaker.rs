//! The circuit breaker: during an outage of Key Vault calls fail at once, except for one trial call at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::ExponentialBackoff;
use tokio::time::Instant;

use crate::backoff;
use crate::kms::{Code, KmsError};
use crate::telemetry::LIFECYCLE;
use crate::vault::{Availability, Failure, VaultError};

/// The number of consecutive failures at which the breaker opens …
const FAILURE_THRESHOLD: u32 = 5;
/// … if they span at least this time, which is about as long as kube-apiserver waits for one call.
const FAILURE_SPAN: Duration = Duration::from_millis(2500);
/// The shortest timeout that counts as a failure of Key Vault. A shorter one is due to the caller's deadline.
pub(super) const SHORTEST_COUNTED_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest time between two consecutive failures that count together.
const LONGEST_FAILURE_INTERVAL: Duration = Duration::from_secs(60);
/// The time after which another trial may be made although the previous one has not ended.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// The first pause before a trial, and the longest, both before jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A circuit breaker that counts failures. Outlives the actors that share it.
#[derive(Default)]
pub(crate) struct CircuitBreaker(Mutex<State>);

#[derive(Default)]
struct State {
    failures: u32,
    first_failure_at: Option<Instant>,
    last_failure_at: Option<Instant>,
    last_error: Option<VaultError>,
    tripped: Option<Tripped>,
}

/// The state of an open breaker.
struct Tripped {
    pauses: ExponentialBackoff,
    next_trial_at: Instant,
    /// The time at which the trial in flight was sent.
    trial_sent_at: Option<Instant>,
}

impl Tripped {
    fn is_trial_in_flight(&self) -> bool {
        self.trial_sent_at.is_some_and(|sent| sent.elapsed() < TRIAL_TIMEOUT)
    }
}

/// An outage of Key Vault, for which the breaker is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outage {
    /// The failure of the latest call.
    pub error: VaultError,
    /// The time since the first failure after the latest success.
    pub lasted: Duration,
}

impl From<Outage> for KmsError {
    fn from(Outage { error, lasted }: Outage) -> Self {
        let code = if error.failure == Failure::TimedOut { Code::Unavailable } else { error.failure.code() };
        // the request id is that of another call
        let explained = Self { code, request_id: None, ..Self::from(error) };
        let lasted = lasted.as_secs_f64();
        explained.with_detail(&format!("for {lasted:.1} s now: calls fail at once until it answers"))
    }
}

/// The permission to make one call, whose outcome it records. If dropped without an outcome, nothing is recorded.
pub(crate) struct Permit<'a> {
    breaker: &'a CircuitBreaker,
    sent: Instant,
    is_trial: bool,
}

impl CircuitBreaker {
    /// Checks that a call may be made now.
    ///
    /// # Errors
    /// The breaker is open, and the pause before the next trial has not passed, or another trial is in flight.
    pub(crate) fn check(&self) -> Result<(), Outage> {
        self.state().check()
    }

    /// Permits a call now. While the breaker is open, that call is the trial.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(crate) fn permit(&self) -> Result<Permit<'_>, Outage> {
        let mut state = self.state();
        state.check()?;
        let sent = Instant::now();
        let trial = state.tripped.as_mut().map(|tripped| tripped.trial_sent_at = Some(sent));
        Ok(Permit { breaker: self, sent, is_trial: trial.is_some() })
    }

    /// Returns whether the breaker is open.
    pub(crate) fn is_open(&self) -> bool {
        self.state().tripped.is_some()
    }

    /// Returns the outage for which the breaker is open; `None` when it is closed.
    pub(crate) fn outage(&self) -> Option<Outage> {
        let state = self.state();
        state.tripped.is_some().then(|| state.outage())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Checks that a call may be made now.
    ///
    /// # Errors
    /// As [`CircuitBreaker::check`].
    fn check(&self) -> Result<(), Outage> {
        match &self.tripped {
            Some(tripped) if tripped.is_trial_in_flight() || Instant::now() < tripped.next_trial_at => {
                Err(self.outage())
            }
            _ => Ok(()),
        }
    }

    fn outage(&self) -> Outage {
        let error = self.last_error.clone();
        Outage {
            error: error.unwrap_or_else(|| VaultError::without_answer(Failure::Unreachable)),
            lasted: self.first_failure_at.map(|first| first.elapsed()).unwrap_or_default(),
        }
    }

    fn record_failure(&mut self, error: &VaultError, is_trial: bool) {
        let now = Instant::now();
        if self.tripped.is_none()
            && self.last_failure_at.is_some_and(|last| now - last > LONGEST_FAILURE_INTERVAL)
        {
            (self.failures, self.first_failure_at) = (0, None);
        }
        self.last_failure_at = Some(now);
        self.failures += 1;
        self.last_error = Some(error.clone());
        let first = *self.first_failure_at.get_or_insert(now);
        match &mut self.tripped {
            Some(tripped) if is_trial => {
                let pause = tripped.pauses.next().unwrap_or(LONGEST_PAUSE);
                (tripped.next_trial_at, tripped.trial_sent_at) = (now + pause, None);
            }
            None if self.failures >= FAILURE_THRESHOLD && now - first >= FAILURE_SPAN => {
                self.open(now, error)
            }
            _ => {}
        }
    }

    fn open(&mut self, now: Instant, error: &VaultError) {
        let mut pauses = backoff::jittered(FIRST_PAUSE, LONGEST_PAUSE);
        let next_trial_at = now + pauses.next().unwrap_or(FIRST_PAUSE);
        self.tripped = Some(Tripped { pauses, next_trial_at, trial_sent_at: None });
        let cause = error.cause.as_deref().unwrap_or_default();
        tracing::error!(target: LIFECYCLE, err = %error, cause, "Key Vault is down: calls fail at once");
    }
}

impl Permit<'_> {
    /// Records that Key Vault responded, even if it refused: closes the breaker.
    pub(crate) fn answered(self) {
        let before = std::mem::take(&mut *self.breaker.state());
        if before.tripped.is_some() {
            let lasted_s = before.first_failure_at.map(|first| first.elapsed().as_secs());
            tracing::info!(target: LIFECYCLE, lasted_s, "Key Vault answers again");
        }
    }

    /// Records that the call failed. Only some kinds of failure mean that Key Vault is down.
    pub(crate) fn failed(self, error: &VaultError) {
        match error.failure.availability() {
            Availability::Down if error.failure == Failure::TimedOut && self.is_too_early() => {}
            Availability::Down => self.breaker.state().record_failure(error, self.is_trial),
            Availability::Unknown => {}
            Availability::Up => self.answered(),
        }
    }

    fn is_too_early(&self) -> bool {
        self.sent.elapsed() < SHORTEST_COUNTED_TIMEOUT
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.is_trial
            && let Some(tripped) = &mut self.breaker.state().tripped
            && tripped.trial_sent_at == Some(self.sent)
        {
            tripped.trial_sent_at = None;
        }
    }
}

#[cfg(test)]
mod tests;
