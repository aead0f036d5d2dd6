//! When to restart, and when the limit is passed. Plain data, no timers.
//!
//! Pauses depend on the child's own recent past, so that a fault now and then costs the shortest one; the limit
//! counts all children, and sees that a crash loop does not last.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use backon::ExponentialBackoff;
use tokio::time::Instant;

use super::protocol::ActorName;
use crate::backoff;
use crate::config::{LimitAction, SupervisionConfig};

/// A child that has worked for so long since its start is no crash loop: its next failure is its first again.
pub(crate) const SETTLED: Duration = Duration::from_secs(1);

/// Counts failures.
pub(crate) struct RestartPolicy {
    config: SupervisionConfig,
    /// The latest failures of all children, `config.limit` at most.
    recent: VecDeque<Instant>,
    streaks: HashMap<ActorName, Streak>,
    reported: Option<Instant>,
}

/// Failures of one child, each soon after its start.
struct Streak {
    failures: usize,
    pauses: ExponentialBackoff,
}

/// What a failure calls for.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The pause before the restart.
    pub pause: Duration,
    /// The limit that was passed, in words; said once in a period.
    pub passed: Option<String>,
}

impl RestartPolicy {
    /// Nothing has failed yet.
    pub(crate) fn new(config: SupervisionConfig) -> Self {
        Self { config, recent: VecDeque::new(), streaks: HashMap::new(), reported: None }
    }

    /// A child that has worked for `lived` fails.
    pub(crate) fn failed(&mut self, child: ActorName, lived: Duration, now: Instant) -> Verdict {
        let frequent = self.count(now);
        let (failures, pause) = self.streak(child, lived);
        let endless = failures > self.limit();
        if !frequent && !endless {
            return Verdict { pause, passed: None };
        }
        let passed = self.is_due(now).then(|| match frequent {
            true => format!("more than {} restarts in {:?}", self.limit(), self.config.period),
            false => format!("{failures} failures in a row within {SETTLED:?} of a start"),
        });
        match self.config.at_limit {
            LimitAction::Exit => Verdict { pause, passed }, // for the drain, whose calls still need the actors
            LimitAction::Retry => Verdict { pause: self.longest_pause(), passed },
        }
    }

    /// Whether that makes more failures in the period than the limit.
    fn count(&mut self, now: Instant) -> bool {
        while self.recent.front().is_some_and(|first| now.duration_since(*first) >= self.config.period) {
            self.recent.pop_front();
        }
        let passed = self.recent.len() >= self.limit();
        if passed {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        passed
    }

    /// How often the child has failed in a row soon after its start, and the pause that comes of it.
    fn streak(&mut self, child: ActorName, lived: Duration) -> (usize, Duration) {
        let SupervisionConfig { backoff, backoff_max, .. } = self.config;
        let first = || Streak { failures: 0, pauses: backoff::jittered(backoff, backoff_max) };
        let streak = self.streaks.entry(child).or_insert_with(first);
        if lived >= SETTLED {
            *streak = first();
        }
        streak.failures += 1;
        (streak.failures, streak.pauses.next().unwrap_or(backoff_max))
    }

    /// Whether the limit was not reported in this period.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.reported.is_none_or(|at| now.duration_since(at) >= self.config.period);
        if due {
            self.reported = Some(now);
        }
        due
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
