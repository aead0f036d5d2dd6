//! When to restart, and when to give up. Plain data, no timers.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff;

/// How many restarts of all actors together are allowed in [`PERIOD`].
pub(crate) const INTENSITY: usize = 5;
/// The time in which restarts are counted.
pub(crate) const PERIOD: Duration = Duration::from_secs(60);
/// The first delay; it doubles with every restart in the period, with jitter of up to its own length on top.
const FIRST_DELAY: Duration = Duration::from_millis(50);
/// The longest delay, before jitter.
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// Counts restarts.
#[derive(Default)]
pub(crate) struct RestartPolicy {
    recent: VecDeque<Instant>,
}

impl RestartPolicy {
    /// How long to wait before the restart that a failure at `now` calls for; `None` to give up.
    pub(crate) fn restart_after(&mut self, now: Instant) -> Option<Duration> {
        while self.recent.front().is_some_and(|first| now.duration_since(*first) >= PERIOD) {
            self.recent.pop_front();
        }
        if self.recent.len() == INTENSITY {
            return None;
        }
        self.recent.push_back(now);
        backoff::jittered(FIRST_DELAY, LONGEST_DELAY).nth(self.recent.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_and_jitter_at_most_doubles_them_again() {
        let (mut policy, now) = (RestartPolicy::default(), Instant::now());
        for exponent in 0..5 {
            let delay = policy.restart_after(now).unwrap();
            let base = FIRST_DELAY * 2u32.pow(exponent);
            assert!(delay >= base && delay <= base * 2, "{exponent}: {delay:?}");
        }
    }

    #[test]
    fn a_sixth_failure_in_a_minute_gives_up() {
        let (mut policy, now) = (RestartPolicy::default(), Instant::now());
        for second in 0..5 {
            assert!(policy.restart_after(now + Duration::from_secs(second)).is_some());
        }
        assert_eq!(policy.restart_after(now + Duration::from_secs(59)), None);
    }

    #[test]
    fn failures_a_minute_old_are_forgotten() {
        let (mut policy, now) = (RestartPolicy::default(), Instant::now());
        for _ in 0..5 {
            policy.restart_after(now);
        }
        let delay = policy.restart_after(now + PERIOD).unwrap();
        assert!(delay <= FIRST_DELAY * 2, "{delay:?}");
    }
}
