//! The reaction to throttling by Key Vault: a 429 blocks all calls for a while, then the rate recovers step by step.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The time for which a 429 without `Retry-After` blocks calls; it doubles until a call succeeds. Three in a row still fit
/// into the 3 s that kube-apiserver waits.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest of these pauses. Key Vault counts transactions in windows of 10 s (Azure Key Vault service limits).
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// The longest time for which calls are blocked, whatever `Retry-After` says: a wrong header must not cost hours.
const LONGEST_BLOCK: Duration = Duration::from_secs(60);
/// The interval between two calls right after a block.
const FIRST_INTERVAL: Duration = Duration::from_millis(50);
/// The percentage to which each success shortens the interval: none is left after 18.
const INTERVAL_DECAY_PERCENT: u32 = 80;
/// The shortest interval; a shorter one becomes zero.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

/// The throttle for calls to Key Vault: open, blocked, or recovering. Outlives the actors that share it.
#[derive(Default)]
pub(crate) struct Throttle(Mutex<State>);

struct State {
    /// The end of the latest block.
    blocked_until: Option<Instant>,
    /// The start of the latest block. The outcomes of calls that were sent before it count no more.
    blocked_at: Option<Instant>,
    /// The time for which the next 429 without `Retry-After` blocks calls.
    pause: Duration,
    /// The interval between two calls while the throttle recovers, else zero.
    interval: Duration,
    /// The time of the next call while the throttle recovers.
    next_call_at: Option<Instant>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            blocked_until: None,
            blocked_at: None,
            pause: FIRST_PAUSE,
            interval: Duration::ZERO,
            next_call_at: None,
        }
    }
}

impl State {
    fn is_sent_since_block(&self, sent: Instant) -> bool {
        self.blocked_at.is_none_or(|blocked| sent >= blocked)
    }
}

impl Throttle {
    /// Returns the time for which all calls are still blocked; `None` when they are not.
    pub(crate) fn blocked_for(&self) -> Option<Duration> {
        let until = self.state().blocked_until?;
        until.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero())
    }

    /// Returns the time until the next call may be made; `None` when it may be made now.
    pub(crate) fn wait(&self) -> Option<Duration> {
        if let Some(wait) = self.blocked_for() {
            return Some(wait);
        }
        let wait = self.state().next_call_at?.checked_duration_since(Instant::now());
        wait.filter(|wait| !wait.is_zero())
    }

    /// Records that a call is made now. While the throttle recovers, the next one has to wait for the interval.
    pub(crate) fn record_call(&self) {
        let mut state = self.state();
        state.next_call_at = (!state.interval.is_zero()).then(|| Instant::now() + state.interval);
    }

    /// Returns whether calls are blocked, or spaced out because the throttle recovers.
    pub(crate) fn is_limiting(&self) -> bool {
        self.blocked_for().is_some() || !self.state().interval.is_zero()
    }

    /// Records a 429 to a call that was sent then, and blocks all calls: for `retry_after`, if Key Vault gave it.
    pub(crate) fn throttled(&self, sent: Instant, retry_after: Option<Duration>) {
        let (now, mut state) = (Instant::now(), self.state());
        let is_first_of_block = state.is_sent_since_block(sent);
        let pause = match retry_after {
            None if !is_first_of_block => return,
            requested => requested.unwrap_or(state.pause),
        };
        state.blocked_until = state.blocked_until.max(Some(now + pause.min(LONGEST_BLOCK)));
        if is_first_of_block {
            tracing::warn!(pause_ms = pause.as_millis(), "Throttled by Key Vault: no call meanwhile");
            state.blocked_at = Some(now);
            state.pause = (state.pause * 2).min(LONGEST_PAUSE);
            state.interval = FIRST_INTERVAL;
        }
    }

    /// Records the success of a call that was sent then: shortens the interval.
    pub(crate) fn succeeded(&self, sent: Instant) {
        let mut state = self.state();
        if state.interval.is_zero() || !state.is_sent_since_block(sent) {
            return;
        }
        state.pause = FIRST_PAUSE;
        let interval = state.interval * INTERVAL_DECAY_PERCENT / 100;
        state.interval = Some(interval).filter(|interval| *interval >= SHORTEST_INTERVAL).unwrap_or_default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::*;

    async fn calls_within(throttle: &Throttle, time: Duration) -> usize {
        let (end, mut calls) = (Instant::now() + time, 0);
        while Instant::now() < end {
            match throttle.wait() {
                None => {
                    throttle.record_call();
                    calls += 1;
                    throttle.succeeded(Instant::now());
                    sleep(Duration::from_millis(1)).await;
                }
                Some(wait) => sleep(wait.min(end - Instant::now())).await,
            }
        }
        calls
    }

    #[tokio::test(start_paused = true)]
    async fn a_429_closes_for_everybody_for_as_long_as_asked() {
        let throttle = Throttle::default();
        assert_eq!(throttle.wait(), None);
        throttle.throttled(Instant::now(), Some(Duration::from_secs(7)));
        advance(Duration::from_secs(3)).await;
        assert_eq!(throttle.wait(), Some(Duration::from_secs(4)));
        advance(Duration::from_secs(4)).await;
        assert_eq!(throttle.wait(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_hour_that_it_asks_for_is_checked_every_minute() {
        let throttle = Throttle::default();
        throttle.throttled(Instant::now(), Some(Duration::from_secs(3600)));
        assert_eq!(throttle.blocked_for(), Some(LONGEST_BLOCK));
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_little_by_little_and_then_is_wide_open() {
        let throttle = Throttle::default();
        throttle.throttled(Instant::now(), Some(Duration::ZERO));
        let window = Duration::from_millis(100);
        let first = calls_within(&throttle, window).await;
        let second = calls_within(&throttle, window).await;
        sleep(2 * window).await;
        let later = calls_within(&throttle, window).await;
        assert!(first <= 4 && second > first && later > 50, "{first}, {second}, {later}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_retry_after_the_pauses_double_until_a_call_succeeds() {
        let throttle = Throttle::default();
        for seconds in [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0] {
            throttle.throttled(Instant::now(), None);
            let wait = throttle.blocked_for().unwrap();
            assert_eq!(wait, Duration::from_secs_f64(seconds));
            advance(wait).await;
        }
        throttle.succeeded(Instant::now());
        throttle.throttled(Instant::now(), None);
        assert_eq!(throttle.blocked_for(), Some(FIRST_PAUSE));
    }

    #[tokio::test(start_paused = true)]
    async fn the_answers_to_calls_that_were_under_way_count_as_one() {
        let (throttle, sent) = (Throttle::default(), Instant::now());
        advance(Duration::from_millis(10)).await;
        for _ in 0..64 {
            throttle.throttled(sent, None);
        }
        throttle.succeeded(sent);
        advance(FIRST_PAUSE).await;
        assert_eq!(throttle.wait(), None);
        throttle.record_call();
        assert_eq!(throttle.wait(), Some(FIRST_INTERVAL));
        throttle.throttled(Instant::now(), None);
        assert_eq!(throttle.blocked_for(), Some(FIRST_PAUSE * 2));
    }
}
