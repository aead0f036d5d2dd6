//! What one caller's attempts came to: how long to wait before the next, and the true cause when there is none.

use std::time::Duration;

use backon::ExponentialBackoff;
use tokio::time::Instant;

use super::circuit_breaker::Down;
use crate::backoff;
use crate::kms::KmsError;
use crate::vault::{Failure, VaultError};

/// The shortest wait before a retry; doubles each time, with jitter on top.
const FIRST_DELAY: Duration = Duration::from_millis(50);
/// The longest wait between two retries that Key Vault did not ask for.
const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// The time between two looks at an open breaker.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The attempts of one call.
pub(super) struct RetryBudget {
    began: Instant,
    deadline: Instant,
    delays: ExponentialBackoff,
    attempts: u32,
    last: Option<VaultError>,
}

impl RetryBudget {
    /// No attempt yet.
    pub(super) fn new(deadline: Instant) -> Self {
        let delays = backoff::jittered(FIRST_DELAY, LONGEST_DELAY);
        Self { began: Instant::now(), deadline, delays, attempts: 0, last: None }
    }

    /// How many attempts have failed.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How long to wait after that failure before the next attempt, which takes `typical`.
    ///
    /// # Errors
    /// There may be none before the deadline; says why.
    pub(super) fn wait_after(&mut self, error: VaultError, typical: Duration) -> Result<Duration, KmsError> {
        let (delay, told) = (self.delay_after(&error), KmsError::from(error.clone()));
        self.attempts += 1;
        let says_more = match error.failure {
            Failure::NoToken => false, // why there is none, the next attempt will know
            Failure::TimedOut => self.last.is_none(), // silence says less than what was answered before it
            _ => true,
        };
        if says_more {
            self.last = Some(error);
        }
        match delay {
            Some(delay) if Instant::now() + delay + typical < self.deadline => Ok(delay),
            _ => Err(self.explain(told)),
        }
    }

    /// How long to wait before looking again whether Key Vault is back. Only who has tried before waits: who comes
    /// while it is down is told at once.
    ///
    /// # Errors
    /// It is not to be waited for; says why.
    pub(super) fn wait_for_return(&mut self, down: Down) -> Result<Duration, KmsError> {
        match self.attempts > 0 && Instant::now() + LOOK_AGAIN < self.deadline {
            true => Ok(LOOK_AGAIN),
            false => Err(self.explain(down.into())),
        }
    }

    fn delay_after(&mut self, error: &VaultError) -> Option<Duration> {
        match error.failure {
            // the next attempt begins by waiting: for another token, or for the tap to open
            Failure::NoToken | Failure::Unauthorized | Failure::Throttled => Some(Duration::ZERO),
            failure if failure.is_transient() => {
                let delay = self.delays.next().unwrap_or(LONGEST_DELAY);
                Some(delay.max(error.retry_after.unwrap_or_default()))
            }
            _ => None,
        }
    }

    /// What to tell the caller: the failure of its attempts, and `otherwise` when there was none.
    pub(super) fn explain(&mut self, otherwise: KmsError) -> KmsError {
        let Some(error) = self.last.take() else { return otherwise };
        let lasted = self.began.elapsed().as_secs_f64();
        let retried = error.failure.is_transient() || error.failure == Failure::TimedOut;
        let explained = KmsError::from(error);
        match (retried, self.attempts) {
            (false, _) => explained,
            (true, 1) => explained.with_detail(&format!("1 attempt in {lasted:.1} s")),
            (true, attempts) => explained.with_detail(&format!("{attempts} attempts in {lasted:.1} s")),
        }
    }
}
