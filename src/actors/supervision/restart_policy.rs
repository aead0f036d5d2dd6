//! The pause before a restart, and the restart limit. Plain data, no timers.
//!
//! Pauses depend on the child's own recent failures, so that an occasional fault costs the shortest one. The limit
//! counts the failures of all children, and ends a crash loop.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use backon::ExponentialBackoff;
use tokio::time::Instant;

use super::protocol::ActorName;
use crate::backoff;
use crate::config::{LimitAction, SupervisionConfig};

/// The uptime after which a child counts as stable: its next failure is the first of a new streak.
pub(crate) const STABLE_AFTER: Duration = Duration::from_secs(1);

/// A policy that decides on each failure of a child.
pub(crate) struct RestartPolicy {
    config: SupervisionConfig,
    /// The latest failures of all children, `config.limit` at most.
    recent: VecDeque<Instant>,
    streaks: HashMap<ActorName, Streak>,
    /// The time at which a passed limit was last reported.
    last_report: Option<Instant>,
}

/// Failures of one child in a row, each within [`STABLE_AFTER`] of a start.
struct Streak {
    failures: usize,
    pauses: ExponentialBackoff,
}

/// The decision on a failure.
#[derive(Debug)]
pub(crate) struct RestartDecision {
    /// The pause before the restart.
    pub pause: Duration,
    /// The limit that was passed, in words; reported once in a period.
    pub passed_limit: Option<String>,
}

impl RestartPolicy {
    /// Creates a policy without any failure.
    pub(crate) fn new(config: SupervisionConfig) -> Self {
        Self { config, recent: VecDeque::new(), streaks: HashMap::new(), last_report: None }
    }

    /// Records a failure of a child with that uptime, and returns the decision on it.
    pub(crate) fn record_failure(
        &mut self,
        child: ActorName,
        uptime: Duration,
        now: Instant,
    ) -> RestartDecision {
        let is_too_frequent = self.count(now);
        let (failures, pause) = self.streak(child, uptime);
        let is_crash_loop = failures > self.limit();
        if !is_too_frequent && !is_crash_loop {
            return RestartDecision { pause, passed_limit: None };
        }
        let passed_limit = self.should_report(now).then(|| {
            if is_too_frequent {
                format!("more than {} restarts in {:?}", self.limit(), self.config.period)
            } else {
                format!("{failures} failures in a row within {STABLE_AFTER:?} of a start")
            }
        });
        match self.config.at_limit {
            // the calls that are drained still need the actors
            LimitAction::Exit => RestartDecision { pause, passed_limit },
            LimitAction::Retry => RestartDecision { pause: self.longest_pause(), passed_limit },
        }
    }

    /// Counts a failure. Returns whether there are now more failures in the period than the limit.
    fn count(&mut self, now: Instant) -> bool {
        while self.recent.front().is_some_and(|first| now.duration_since(*first) >= self.config.period) {
            self.recent.pop_front();
        }
        let is_passed = self.recent.len() >= self.limit();
        if is_passed {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        is_passed
    }

    /// Counts a failure of the child. Returns the length of its streak, and the pause that follows from it.
    fn streak(&mut self, child: ActorName, uptime: Duration) -> (usize, Duration) {
        let SupervisionConfig { backoff, backoff_max, .. } = self.config;
        let first = || Streak { failures: 0, pauses: backoff::jittered(backoff, backoff_max) };
        let streak = self.streaks.entry(child).or_insert_with(first);
        if uptime >= STABLE_AFTER {
            *streak = first();
        }
        streak.failures += 1;
        (streak.failures, streak.pauses.next().unwrap_or(backoff_max))
    }

    /// Returns whether to report a passed limit: once in a period.
    fn should_report(&mut self, now: Instant) -> bool {
        let is_due = self.last_report.is_none_or(|at| now.duration_since(at) >= self.config.period);
        if is_due {
            self.last_report = Some(now);
        }
        is_due
    }

    fn longest_pause(&self) -> Duration {
        let longest = self.config.backoff_max;
        backoff::jittered(longest, longest).next().unwrap_or(longest)
    }

    fn limit(&self) -> usize {
        self.config.limit.get() as usize
    }
}

#[cfg(test)]
mod tests;
