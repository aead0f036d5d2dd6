//! Throttling by Key Vault, felt by everybody: a 429 closes the throttle, and it opens again little by little.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a 429 without `Retry-After` closes the throttle; doubles while nothing succeeds in between. Three in a row still
/// leave time in kube-apiserver's 3 s.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest of these pauses. Key Vault counts in windows of 10 s.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// Whatever Key Vault asks for, a call a minute looks whether it still does: one odd header is no outage of hours.
const LONGEST_CLOSED: Duration = Duration::from_secs(60);
/// The time between two calls when the throttle has just opened.
const FIRST_GAP: Duration = Duration::from_millis(50);
/// Each success shortens the gap to so many percent of it: wide open after 18.
const SHRINKS_TO: u32 = 80;
/// A gap shorter than this is none.
const NO_GAP: Duration = Duration::from_millis(1);

/// Lets calls through, or tells how long it does not. Outlives the actors that share it.
#[derive(Default)]
pub(crate) struct Throttle(Mutex<State>);

struct State {
    /// Set by every 429, to the end of the pause it asks for.
    closed_until: Option<Instant>,
    /// When the throttle was closed last: what was sent before is no news.
    closed_at: Option<Instant>,
    /// What the next 429 without `Retry-After` costs.
    pause: Duration,
    /// The time between two calls, while the throttle opens.
    gap: Duration,
    /// When the next call may pass, while the throttle opens.
    next: Option<Instant>,
}

impl Default for State {
    fn default() -> Self {
        Self { closed_until: None, closed_at: None, pause: FIRST_PAUSE, gap: Duration::ZERO, next: None }
    }
}

impl State {
    fn is_new(&self, sent: Instant) -> bool {
        self.closed_at.is_none_or(|closed| sent >= closed)
    }
}

impl Throttle {
    /// How long no call may be made because Key Vault said so; `None` when calls may pass.
    pub(crate) fn closed_for(&self) -> Option<Duration> {
        let until = self.state().closed_until?;
        until.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero())
    }

    /// How long a call has to wait now; `None` when it may pass.
    pub(crate) fn wait(&self) -> Option<Duration> {
        if let Some(wait) = self.closed_for() {
            return Some(wait);
        }
        let wait = self.state().next?.checked_duration_since(Instant::now());
        wait.filter(|wait| !wait.is_zero())
    }

    /// A call passes: while the throttle opens, the next one has to wait.
    pub(crate) fn pass(&self) {
        let mut state = self.state();
        state.next = (!state.gap.is_zero()).then(|| Instant::now() + state.gap);
    }

    /// Whether it is closed, or has not opened all the way.
    pub(crate) fn holds_back(&self) -> bool {
        self.closed_for().is_some() || !self.state().gap.is_zero()
    }

    /// Key Vault answered 429 to a call that was sent then. It may ask to wait.
    pub(crate) fn throttled(&self, sent: Instant, retry_after: Option<Duration>) {
        let (now, mut state) = (Instant::now(), self.state());
        let is_new = state.is_new(sent);
        let pause = match retry_after {
            None if !is_new => return,
            asked => asked.unwrap_or(state.pause),
        };
        state.closed_until = state.closed_until.max(Some(now + pause.min(LONGEST_CLOSED)));
        if is_new {
            tracing::warn!(pause_ms = pause.as_millis(), "Throttled by Key Vault: no call meanwhile");
            state.closed_at = Some(now);
            state.pause = (state.pause * 2).min(LONGEST_PAUSE);
            state.gap = FIRST_GAP;
        }
    }

    /// A call that was sent then succeeded.
    pub(crate) fn succeeded(&self, sent: Instant) {
        let mut state = self.state();
        if state.gap.is_zero() || !state.is_new(sent) {
            return;
        }
        state.pause = FIRST_PAUSE;
        state.gap = Some(state.gap * SHRINKS_TO / 100).filter(|gap| *gap >= NO_GAP).unwrap_or_default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::*;

    async fn passes_within(throttle: &Throttle, time: Duration) -> usize {
        let (end, mut passed) = (Instant::now() + time, 0);
        while Instant::now() < end {
            match throttle.wait() {
                None => {
                    throttle.pass();
                    passed += 1;
                    throttle.succeeded(Instant::now());
                    sleep(Duration::from_millis(1)).await;
                }
                Some(wait) => sleep(wait.min(end - Instant::now())).await,
            }
        }
        passed
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
        assert_eq!(throttle.closed_for(), Some(LONGEST_CLOSED));
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_little_by_little_and_then_is_wide_open() {
        let throttle = Throttle::default();
        throttle.throttled(Instant::now(), Some(Duration::ZERO));
        let window = Duration::from_millis(100);
        let first = passes_within(&throttle, window).await;
        let second = passes_within(&throttle, window).await;
        sleep(2 * window).await;
        let later = passes_within(&throttle, window).await;
        assert!(first <= 4 && second > first && later > 50, "{first}, {second}, {later}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_retry_after_the_pauses_double_until_a_call_succeeds() {
        let throttle = Throttle::default();
        for seconds in [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0] {
            throttle.throttled(Instant::now(), None);
            let wait = throttle.closed_for().unwrap();
            assert_eq!(wait, Duration::from_secs_f64(seconds));
            advance(wait).await;
        }
        throttle.succeeded(Instant::now());
        throttle.throttled(Instant::now(), None);
        assert_eq!(throttle.closed_for(), Some(FIRST_PAUSE));
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
        throttle.pass();
        assert_eq!(throttle.wait(), Some(FIRST_GAP));
        throttle.throttled(Instant::now(), None);
        assert_eq!(throttle.closed_for(), Some(FIRST_PAUSE * 2));
    }
}
