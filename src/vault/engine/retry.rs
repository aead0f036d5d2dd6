//! The retries of one call: the delay before the next attempt, and the error when there is none.

use std::time::Duration;

use backon::ExponentialBackoff;
use tokio::time::Instant;

use super::circuit_breaker::Outage;
use crate::backoff;
use crate::kms::KmsError;
use crate::vault::{Failure, Retry, VaultError};

/// The first delay before a retry; it doubles with each retry, with jitter on top.
const FIRST_DELAY: Duration = Duration::from_millis(50);
/// The longest delay that Key Vault did not ask for, before jitter.
const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// The interval between two checks of an open circuit breaker.
const BREAKER_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The end of a call without success.
#[derive(Clone, Debug)]
pub(super) struct GaveUp {
    /// The error for the caller.
    pub(super) error: KmsError,
    /// Set when a later deadline would have allowed another attempt.
    pub(super) is_out_of_time: bool,
}

impl From<GaveUp> for KmsError {
    fn from(gave_up: GaveUp) -> Self {
        gave_up.error
    }
}

/// The failed attempts of one call, and the backoff between them.
pub(super) struct RetryState {
    started: Instant,
    deadline: Instant,
    delays: ExponentialBackoff,
    attempts: u32,
    last_error: Option<VaultError>,
}

impl RetryState {
    /// Creates the state before the first attempt.
    pub(super) fn new(deadline: Instant) -> Self {
        let delays = backoff::jittered(FIRST_DELAY, LONGEST_DELAY);
        Self { started: Instant::now(), deadline, delays, attempts: 0, last_error: None }
    }

    /// Returns the number of failed attempts.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Records a failed attempt, and returns the delay before the next one, which is expected to take `expected`.
    ///
    /// # Errors
    /// The failure is permanent, or the next attempt could not end before the deadline: returns the error for the caller.
    pub(super) fn delay_after(&mut self, error: VaultError, expected: Duration) -> Result<Duration, GaveUp> {
        let (delay, latest) = (self.backoff(&error), KmsError::from(error.clone()));
        let is_out_of_time = delay.is_some() || error.failure == Failure::TimedOut;
        self.attempts += 1;
        let is_informative = match error.failure {
            Failure::NoToken => false, // the next attempt fails with the reason
            Failure::TimedOut => self.last_error.is_none(), // an earlier response says more than a timeout
            _ => true,
        };
        if is_informative {
            self.last_error = Some(error);
        }
        match delay {
            Some(delay) if Instant::now() + delay + expected < self.deadline => Ok(delay),
            _ => Err(self.give_up(latest, is_out_of_time)),
        }
    }

    /// Returns the delay before the circuit breaker is checked again. Only a caller that has made an attempt waits for a
    /// trial; a new one fails at once.
    ///
    /// # Errors
    /// The caller has made no attempt, or the deadline is too near: returns the error for the caller.
    pub(super) fn delay_during_outage(&mut self, outage: Outage) -> Result<Duration, GaveUp> {
        let waits = self.attempts > 0;
        if waits && Instant::now() + BREAKER_CHECK_INTERVAL < self.deadline {
            Ok(BREAKER_CHECK_INTERVAL)
        } else {
            Err(self.give_up(outage.into(), waits))
        }
    }

    /// Returns the end of a call for which a limit, or the lack of a token, allows no attempt before the deadline.
    pub(super) fn refused(&mut self, error: KmsError) -> GaveUp {
        let is_out_of_time = error.code.meaning().is_retryable;
        self.give_up(error, is_out_of_time)
    }

    fn give_up(&mut self, otherwise: KmsError, is_out_of_time: bool) -> GaveUp {
        GaveUp { error: self.final_error(otherwise), is_out_of_time }
    }

    fn backoff(&mut self, error: &VaultError) -> Option<Duration> {
        match error.failure.retry() {
            Retry::Never => None,
            // the next attempt begins by waiting for that
            Retry::WithNewToken | Retry::AfterThrottle => Some(Duration::ZERO),
            Retry::AfterBackoff => {
                let delay = self.delays.next().unwrap_or(LONGEST_DELAY);
                Some(delay.max(error.retry_after.unwrap_or_default()))
            }
        }
    }

    /// Takes the error for the caller: the failure of its attempts, or `otherwise` if none failed.
    fn final_error(&mut self, otherwise: KmsError) -> KmsError {
        let Some(error) = self.last_error.take() else { return otherwise };
        let elapsed = self.started.elapsed().as_secs_f64();
        let was_retried = matches!(error.failure.retry(), Retry::AfterThrottle | Retry::AfterBackoff)
            || error.failure == Failure::TimedOut;
        let explained = KmsError::from(error);
        match (was_retried, self.attempts) {
            (false, _) => explained,
            (true, 1) => explained.with_detail(&format!("1 attempt in {elapsed:.1} s")),
            (true, attempts) => explained.with_detail(&format!("{attempts} attempts in {elapsed:.1} s")),
        }
    }
}
