//! How long Key Vault takes at the moment: decides which attempt can still finish, and which one is suspiciously slow.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many of the latest answers count.
const WINDOW: usize = 128;
/// Fewer than these say nothing.
const ENOUGH: usize = 20;
/// Answers older than this say nothing of now.
const FRESH: Duration = Duration::from_secs(60);
/// Numbers are worked out anew after so many answers.
const EVERY: u64 = 16;
/// The shortest and the longest time after which an attempt counts as slow: a second attempt must still fit into
/// kube-apiserver's 3 s.
const SHORTEST_TAIL: Duration = Duration::from_millis(100);
const LONGEST_TAIL: Duration = Duration::from_secs(1);
/// An attempt is not refused for more than this, however slow Key Vault was of late.
const LONGEST_TYPICAL: Duration = Duration::from_millis(500);

/// The durations of the latest answers. Outlives the actors that share it.
#[derive(Default)]
pub(crate) struct Latencies(Mutex<State>);

#[derive(Default)]
struct State {
    window: Vec<Duration>,
    count: u64,
    latest: Option<Instant>,
    typical: Duration,
    tail: Duration,
}

impl Latencies {
    /// Key Vault took so long to answer.
    pub(crate) fn record(&self, took: Duration) {
        let mut state = self.state();
        if state.latest.is_some_and(|latest| latest.elapsed() > FRESH) {
            *state = State::default();
        }
        match state.window.len() < WINDOW {
            true => state.window.push(took),
            false => {
                let oldest = (state.count % WINDOW as u64) as usize;
                state.window[oldest] = took;
            }
        }
        state.count += 1;
        state.latest = Some(Instant::now());
        if state.count == ENOUGH as u64 || state.count.is_multiple_of(EVERY) {
            state.work_out();
        }
    }

    /// The shortest time in which an attempt can be expected to finish: the median, or zero when little is known.
    pub(crate) fn typical(&self) -> Duration {
        self.known().map_or(Duration::ZERO, |(typical, _)| typical.min(LONGEST_TYPICAL))
    }

    /// When an attempt is slower than nearly all of late: twice the 95th percentile, within bounds.
    pub(crate) fn tail(&self) -> Duration {
        self.known().map_or(LONGEST_TAIL, |(_, tail)| (tail * 2).clamp(SHORTEST_TAIL, LONGEST_TAIL))
    }

    fn known(&self) -> Option<(Duration, Duration)> {
        let state = self.state();
        let fresh = state.latest.is_some_and(|latest| latest.elapsed() <= FRESH);
        (fresh && state.window.len() >= ENOUGH).then_some((state.typical, state.tail))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn work_out(&mut self) {
        let mut sorted = self.window.clone();
        sorted.sort_unstable();
        let at = |percent: usize| sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default();
        (self.typical, self.tail) = (at(50), at(95));
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn after(durations: impl IntoIterator<Item = u64>) -> Latencies {
        let latencies = Latencies::default();
        durations.into_iter().for_each(|ms| latencies.record(Duration::from_millis(ms)));
        latencies
    }

    #[tokio::test(start_paused = true)]
    async fn with_few_answers_nothing_is_expected() {
        let latencies = after([200; ENOUGH - 1]);
        assert_eq!((latencies.typical(), latencies.tail()), (Duration::ZERO, LONGEST_TAIL));
    }

    #[tokio::test(start_paused = true)]
    async fn the_median_is_typical_and_the_tail_is_twice_the_95th_percentile() {
        let latencies = after((0..WINDOW as u64).map(|turn| if turn % 10 == 0 { 150 } else { 30 }));
        assert_eq!(latencies.typical(), Duration::from_millis(30));
        assert_eq!(latencies.tail(), Duration::from_millis(300));
    }

    #[tokio::test(start_paused = true)]
    async fn both_stay_within_bounds() {
        assert_eq!(after([1; WINDOW]).tail(), SHORTEST_TAIL);
        let slow = after([2_900; WINDOW]);
        assert_eq!((slow.typical(), slow.tail()), (LONGEST_TYPICAL, LONGEST_TAIL));
    }

    #[tokio::test(start_paused = true)]
    async fn old_answers_are_forgotten() {
        let latencies = after([400; WINDOW]);
        advance(FRESH + Duration::from_secs(1)).await;
        assert_eq!(latencies.typical(), Duration::ZERO);
        latencies.record(Duration::from_millis(10));
        assert_eq!(latencies.typical(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_latest_answers_replace_the_oldest() {
        let latencies = after([400; WINDOW].into_iter().chain([20; WINDOW]));
        assert_eq!(latencies.typical(), Duration::from_millis(20));
    }
}
