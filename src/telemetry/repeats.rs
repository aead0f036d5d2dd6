//! Failures that come again and again: each reason is told at once, and then seldom.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long the same reason is not told again.
const SILENCE: Duration = Duration::from_secs(300);

/// Logs at that level what is news, and at debug level what is not.
macro_rules! tell {
    ($is_news:expr, $level:ident, $($what:tt)+) => {
        match $is_news {
            true => tracing::$level!($($what)+),
            false => tracing::debug!($($what)+),
        }
    };
}
pub(crate) use tell;

/// What was told of late about one thing that fails, and when.
#[derive(Default)]
pub(crate) struct Repeats(Mutex<Vec<(String, Instant)>>);

impl Repeats {
    /// Whether to tell that reason: it was not told yet, or long ago.
    pub(crate) fn is_news(&self, reason: &str) -> bool {
        let (gist, mut told) = (gist(reason), self.told());
        told.retain(|(_, when)| when.elapsed() < SILENCE);
        let is_news = !told.iter().any(|(told, _)| *told == gist);
        if is_news {
            told.push((gist, Instant::now()));
        }
        is_news
    }

    /// It works. Whether its failure was told, so that its end is news.
    pub(crate) fn ends(&self) -> bool {
        !std::mem::take(&mut *self.told()).is_empty()
    }

    fn told(&self) -> MutexGuard<'_, Vec<(String, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stays of a reason when attempts and times are counted on: neither words that are numbers, nor what only counts.
fn gist(reason: &str) -> String {
    let begins_with_digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let counts = |part: &&str| begins_with_digit(part) || part.starts_with("for ");
    let words = reason.split(", ").filter(|part| !counts(part)).flat_map(str::split_whitespace);
    words.filter(|word| !begins_with_digit(word)).collect()
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_reason_is_told_every_five_minutes_and_another_one_at_once() {
        let repeats = Repeats::default();
        let mut told = 0;
        for _ in 0..599 {
            told += u32::from(repeats.is_news("Entra ID is not available (HTTP 503)"));
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!(told, 2);
        assert!(repeats.is_news("Entra ID cannot be reached"));
        assert!(!repeats.is_news("Entra ID is not available (HTTP 500)"), "they take turns");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_success_the_same_reason_is_news_again() {
        let repeats = Repeats::default();
        assert!(!repeats.ends());
        assert!(repeats.is_news("down") && repeats.ends() && !repeats.ends() && repeats.is_news("down"));
    }

    #[test]
    fn counts_and_times_do_not_make_another_reason_and_all_else_does() {
        for (one, other) in [
            ("Key Vault does not answer, 3 attempts in 2.4 s", "Key Vault does not answer"),
            (
                "no answer, 3 attempts in 2.4 s",
                "no answer, for 9.1 s now: calls fail at once until it answers",
            ),
            ("no call for another 3.2 s", "no call for another 41.0 s"),
        ] {
            assert_eq!(gist(one), gist(other));
        }
        assert_ne!(gist("refused (HTTP 400, AADSTS53003)"), gist("refused (HTTP 400, AADSTS50053)"));
        assert_ne!(
            gist("refused (HTTP 403, ForbiddenByRbac)"),
            gist("refused (HTTP 403, ForbiddenByFirewall)")
        );
    }
}
