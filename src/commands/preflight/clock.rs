//! This machine's clock against that of a service.

use chrono::{DateTime, TimeDelta, Utc};

use super::checks::Check;
use super::report::CheckResult;

/// The largest difference that Entra ID and Key Vault tolerate between an assertion's or a token's times and their own.
const TOO_FAR: TimeDelta = TimeDelta::minutes(5);
/// A difference that a clock kept by NTP never has.
const ODD: TimeDelta = TimeDelta::seconds(30);
const FIX: &str = "timedatectl set-ntp true, and see chronyc tracking";

/// Compares the clock with the `Date` of an answer that has just come.
pub(super) fn check(date: Option<&str>, now: DateTime<Utc>) -> CheckResult {
    let Some(theirs) = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()) else {
        return Check::Clock.skipped("since no answer told the time");
    };
    let off = now.signed_duration_since(theirs);
    let seconds = off.num_seconds();
    let cause = format!(
        "this machine's clock is {} s {} Azure's",
        seconds.abs(),
        if seconds < 0 { "behind" } else { "ahead of" }
    );
    match off.abs() {
        far if far > TOO_FAR => Check::Clock.failed(cause, FIX),
        far if far > ODD => Check::Clock.warned(cause, FIX),
        _ => Check::Clock.passed(format!("within {} s of Azure's", ODD.num_seconds())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Outcome;
    use super::*;

    fn at(seconds: i64) -> Outcome {
        let theirs = DateTime::parse_from_rfc2822("Wed, 21 Oct 2026 07:28:00 GMT").unwrap().to_utc();
        check(Some("Wed, 21 Oct 2026 07:28:00 GMT"), theirs + TimeDelta::seconds(seconds)).outcome
    }

    #[test]
    fn more_than_five_minutes_fail_in_both_directions_and_less_is_a_warning() {
        assert!(matches!(at(1), Outcome::Passed(_)));
        assert!(matches!(at(60), Outcome::Warned(finding) if finding.cause.contains("60 s ahead")));
        assert!(matches!(at(400), Outcome::Failed(_)));
        assert!(matches!(at(-400), Outcome::Failed(finding) if finding.cause.contains("400 s behind")));
    }

    #[test]
    fn an_answer_without_a_date_says_nothing() {
        let now = Utc::now();
        assert!(matches!(check(None, now).outcome, Outcome::Skipped(_)));
        assert!(matches!(check(Some("yesterday"), now).outcome, Outcome::Skipped(_)));
    }
}
