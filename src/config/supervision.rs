//! The limits on restarts of actors.

use std::num::NonZeroU32;
use std::time::Duration;

use super::problems::Problems;
use super::values::{positive_duration, positive_number};
use crate::cli::Flags;

/// The pauses before restarts of failed actors, and the limit on restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SupervisionConfig {
    /// The restarts of all actors together that are allowed in `period`, and those of one actor in a row that never came
    /// to work.
    pub limit: NonZeroU32,
    /// The time in which restarts are counted.
    pub period: Duration,
    /// The pause before the first restart.
    pub backoff: Duration,
    /// The longest pause, before jitter.
    pub backoff_max: Duration,
    /// The action beyond the limit.
    pub at_limit: LimitAction,
}

/// The action when actors fail more often than the limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitAction {
    /// Drain and exit with code 1, so that the kubelet or systemd restarts the process.
    Exit,
    /// Go on, with the longest pause.
    Retry,
}

/// Reads the flags; `None` when there is a problem.
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

/// Checks the order of the two backoffs.
///
/// # Errors
/// The first is longer than the longest.
fn in_order(first: Duration, longest: Duration) -> Result<(), String> {
    if first <= longest {
        Ok(())
    } else {
        Err(format!("{first:?} is longer than --actor-restart-backoff-max ({longest:?})"))
    }
}

/// Parses what happens at the restart limit.
///
/// # Errors
/// It is neither exit nor retry.
fn limit_action(text: &str) -> Result<LimitAction, String> {
    match text.to_ascii_lowercase().as_str() {
        "exit" => Ok(LimitAction::Exit),
        "retry" => Ok(LimitAction::Retry),
        _ => Err(format!("{text:?} must be exit or retry")),
    }
}
