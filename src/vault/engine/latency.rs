//! The latencies of Key Vault: they decide whether an attempt can still end before its deadline, and when it gets a
//! hedge.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The number of the latest latencies that count.
const WINDOW: usize = 128;
/// The number of latencies below which nothing is estimated.
const MIN_SAMPLES: usize = 20;
/// The time without a new latency after which the window is discarded.
const EXPIRY: Duration = Duration::from_secs(60);
/// The number of latencies between two computations of the percentiles.
const RECOMPUTE_EVERY: u64 = 16;
/// The shortest and the longest hedge delay: the hedge must still end within the 3 s that kube-apiserver waits.
const SHORTEST_HEDGE_DELAY: Duration = Duration::from_millis(100);
const LONGEST_HEDGE_DELAY: Duration = Duration::from_secs(1);
/// The longest expected duration: an attempt that has more time than this is made, however slow Key Vault was.
const LONGEST_EXPECTED: Duration = Duration::from_millis(500);

/// A sliding window of latencies. Outlives the actors that share it.
#[derive(Default)]
pub(crate) struct Latencies(Mutex<State>);

#[derive(Default)]
struct State {
    window: Vec<Duration>,
    count: u64,
    last_recorded_at: Option<Instant>,
    median: Duration,
    p95: Duration,
}

impl Latencies {
    /// Records the time that Key Vault took to answer.
    pub(crate) fn record(&self, latency: Duration) {
        let mut state = self.state();
        if state.last_recorded_at.is_some_and(|last| last.elapsed() > EXPIRY) {
            *state = State::default();
        }
        if state.window.len() < WINDOW {
            state.window.push(latency);
        } else {
            let oldest = (state.count % WINDOW as u64) as usize;
            state.window[oldest] = latency;
        }
        state.count += 1;
        state.last_recorded_at = Some(Instant::now());
        if state.count == MIN_SAMPLES as u64 || state.count.is_multiple_of(RECOMPUTE_EVERY) {
            state.compute_percentiles();
        }
    }

    /// Returns the shortest time in which an attempt can be expected to end: the median, 0.5 s at most, or zero when there
    /// are too few latencies.
    pub(crate) fn expected(&self) -> Duration {
        self.percentiles().map_or(Duration::ZERO, |(median, _)| median.min(LONGEST_EXPECTED))
    }

    /// Returns the time after which an attempt gets a hedge: twice the 95th percentile, but 0.1 s to 1 s.
    pub(crate) fn hedge_delay(&self) -> Duration {
        let delay =
            |(_, p95): (Duration, Duration)| (p95 * 2).clamp(SHORTEST_HEDGE_DELAY, LONGEST_HEDGE_DELAY);
        self.percentiles().map_or(LONGEST_HEDGE_DELAY, delay)
    }

    fn percentiles(&self) -> Option<(Duration, Duration)> {
        let state = self.state();
        let is_current = state.last_recorded_at.is_some_and(|last| last.elapsed() <= EXPIRY);
        (is_current && state.window.len() >= MIN_SAMPLES).then_some((state.median, state.p95))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn compute_percentiles(&mut self) {
        let mut sorted = self.window.clone();
        sorted.sort_unstable();
        let at = |percent: usize| sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default();
        (self.median, self.p95) = (at(50), at(95));
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn recorded(durations: impl IntoIterator<Item = u64>) -> Latencies {
        let latencies = Latencies::default();
        durations.into_iter().for_each(|ms| latencies.record(Duration::from_millis(ms)));
        latencies
    }

    #[tokio::test(start_paused = true)]
    async fn with_few_answers_nothing_is_expected() {
        let latencies = recorded([200; MIN_SAMPLES - 1]);
        assert_eq!((latencies.expected(), latencies.hedge_delay()), (Duration::ZERO, LONGEST_HEDGE_DELAY));
    }

    #[tokio::test(start_paused = true)]
    async fn the_median_is_typical_and_the_tail_is_twice_the_95th_percentile() {
        let latencies = recorded((0..WINDOW as u64).map(|index| if index % 10 == 0 { 150 } else { 30 }));
        assert_eq!(latencies.expected(), Duration::from_millis(30));
        assert_eq!(latencies.hedge_delay(), Duration::from_millis(300));
    }

    #[tokio::test(start_paused = true)]
    async fn both_stay_within_bounds() {
        assert_eq!(recorded([1; WINDOW]).hedge_delay(), SHORTEST_HEDGE_DELAY);
        let slow = recorded([2_900; WINDOW]);
        assert_eq!((slow.expected(), slow.hedge_delay()), (LONGEST_EXPECTED, LONGEST_HEDGE_DELAY));
    }

    #[tokio::test(start_paused = true)]
    async fn old_answers_are_forgotten() {
        let latencies = recorded([400; WINDOW]);
        advance(EXPIRY + Duration::from_secs(1)).await;
        assert_eq!(latencies.expected(), Duration::ZERO);
        latencies.record(Duration::from_millis(10));
        assert_eq!(latencies.expected(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_latest_answers_replace_the_oldest() {
        let latencies = recorded([400; WINDOW].into_iter().chain([20; WINDOW]));
        assert_eq!(latencies.expected(), Duration::from_millis(20));
    }
}
