//! How patient the supervisor is with actors that fail.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Problems;
use super::values::{positive_duration, positive_number};
use crate::cli::Flags;

/// When a failed actor is started again, and what comes of too many failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SupervisionConfig {
    /// So many restarts of all actors together are allowed in `period`, and so many of one that never came to work.
    pub limit: NonZeroU32,
    /// The time in which restarts are counted.
    pub period: Duration,
    /// The pause before the first restart.
    pub backoff: Duration,
    /// The longest pause, before jitter.
    pub backoff_max: Duration,
    /// What happens beyond the limit.
    pub at_limit: LimitAction,
}

/// What the flags say when they are not given.
#[cfg(any(test, feature = "benchmark"))]
impl Default for SupervisionConfig {
    fn default() -> Self {
        Self {
            limit: NonZeroU32::MIN.saturating_add(29),
            period: Duration::from_secs(60),
            backoff: Duration::from_millis(50),
            backoff_max: Duration::from_secs(1),
            at_limit: LimitAction::Exit,
        }
    }
}

/// What happens when actors fail more often than the limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitAction {
    /// Drain and exit 1: who started the process takes over.
    Exit,
    /// Go on, with the longest pause.
    Retry,
}

/// Reads the flags.
pub(super) fn read(flags: &Flags, problems: &mut Problems) -> Option<SupervisionConfig> {
    let limit = problems.flag("actor-restart-limit", positive_number(&flags.actor_restart_limit));
    let period = problems.flag("actor-restart-period", positive_duration(&flags.actor_restart_period));
    let backoff = problems.flag("actor-restart-backoff", positive_duration(&flags.actor_restart_backoff));
    let backoff_max =
        problems.flag("actor-restart-backoff-max", positive_duration(&flags.actor_restart_backoff_max));
    let at_limit =
        problems.flag("actor-restart-limit-action", limit_action(&flags.actor_restart_limit_action));
    let (backoff, backoff_max) = (backoff?, backoff_max?);
    problems.flag("actor-restart-backoff", in_order(backoff, backoff_max))?;
    Some(SupervisionConfig { limit: limit?, period: period?, backoff, backoff_max, at_limit: at_limit? })
}

fn in_order(first: Duration, longest: Duration) -> Result<(), String> {
    match first <= longest {
        true => Ok(()),
        false => Err(format!("{first:?} is longer than --actor-restart-backoff-max ({longest:?})")),
    }
}

fn limit_action(text: &str) -> Result<LimitAction, String> {
    match text.to_ascii_lowercase().as_str() {
        "exit" => Ok(LimitAction::Exit),
        "retry" => Ok(LimitAction::Retry),
        _ => Err(format!("{text:?} must be exit or retry")),
    }
}
