//! Deduplication of log lines: a repeated failure is logged once per distinct kind.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The time after which the same kind of failure is logged again.
const REPEAT_AFTER: Duration = Duration::from_secs(300);

/// Logs at `$level` if `$should_log`, and otherwise at debug level.
macro_rules! log_or_debug {
    ($should_log:expr, $level:ident, $($what:tt)+) => {
        if $should_log { tracing::$level!($($what)+) } else { tracing::debug!($($what)+) }
    };
}
pub(crate) use log_or_debug;

/// The kinds of failure of one operation that were logged since its last success, each with the time.
///
/// `K` is the kind: an enum or an [`ErrorKind`](crate::kms::ErrorKind), never a sentence. There must be few of them, as
/// each is kept.
pub(crate) struct LogDedup<K> {
    repeat_after: Option<Duration>,
    /// Set while `logged` holds anything: successes are frequent, and do not lock for nothing.
    is_failing: AtomicBool,
    logged: Mutex<Vec<(K, Instant)>>,
}

impl<K> LogDedup<K> {
    /// Makes one that logs each kind at once, and then every 5 minutes.
    pub(crate) fn repeating() -> Self {
        Self::new(Some(REPEAT_AFTER))
    }

    /// Makes one that logs each kind once until [`Self::recover`].
    pub(crate) fn once() -> Self {
        Self::new(None)
    }

    fn new(repeat_after: Option<Duration>) -> Self {
        Self { repeat_after, is_failing: AtomicBool::new(false), logged: Mutex::default() }
    }

    /// Clears all kinds after a success. Returns whether a failure was logged, so that the recovery should be logged
    /// too.
    pub(crate) fn recover(&self) -> bool {
        if !self.is_failing.load(Ordering::Acquire) {
            return false;
        }
        let mut logged = self.logged();
        self.is_failing.store(false, Ordering::Release);
        !std::mem::take(&mut *logged).is_empty()
    }

    fn logged(&self) -> MutexGuard<'_, Vec<(K, Instant)>> {
        self.logged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: PartialEq> LogDedup<K> {
    /// Records a failure of that kind. Returns whether to log it.
    pub(crate) fn should_log(&self, kind: K) -> bool {
        let mut logged = self.logged();
        if let Some(limit) = self.repeat_after {
            logged.retain(|(_, time)| time.elapsed() < limit);
        }
        let is_new = !logged.iter().any(|(known, _)| *known == kind);
        if is_new {
            logged.push((kind, Instant::now()));
            self.is_failing.store(true, Ordering::Release);
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_kind_is_logged_every_five_minutes_and_another_one_at_once() {
        let dedup = LogDedup::repeating();
        let mut logged = 0;
        for _ in 0..599 {
            logged += u32::from(dedup.should_log("unavailable"));
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!(logged, 2);
        assert!(dedup.should_log("unreachable"));
        assert!(!dedup.should_log("unavailable"), "they take turns");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_success_the_same_kind_is_logged_again() {
        for dedup in [LogDedup::repeating(), LogDedup::once()] {
            assert!(!dedup.recover());
            assert!(
                dedup.should_log("down") && dedup.recover() && !dedup.recover() && dedup.should_log("down")
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_repeats_a_kind_is_logged_once_however_long_it_lasts() {
        let dedup = LogDedup::once();
        assert!(dedup.should_log("full"));
        advance(10 * REPEAT_AFTER).await;
        assert!(!dedup.should_log("full"));
    }
}
