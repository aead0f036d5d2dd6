//! The results of the checks, as lines for people or as JSON for scripts.

use std::fmt::Write;

use serde_json::{Value, json};

use super::checks::Check;

/// The form in which to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A line for each check.
    Text,
    /// One object.
    Json,
}

impl Format {
    /// Reads the value of `--output`.
    ///
    /// # Errors
    /// It is neither `text` nor `json`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("--output: {text:?} must be text or json")),
        }
    }
}

/// The outcome of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All is well: what was found.
    Passed(String),
    /// The daemon will work, but something is not as it should be.
    Warned(Finding),
    /// The daemon will not work like this.
    Failed(Finding),
    /// The check needs another one that failed, or there is nothing to check: the reason.
    Skipped(String),
}

/// The cause of a failure or warning, and the command or setting that fixes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) cause: String,
    pub(super) fix: String,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CheckResult {
    pub(super) check: Check,
    pub(super) outcome: Outcome,
}

impl Check {
    pub(super) fn passed(self, found: impl Into<String>) -> CheckResult {
        CheckResult { check: self, outcome: Outcome::Passed(found.into()) }
    }

    pub(super) fn warned(self, cause: impl Into<String>, fix: impl Into<String>) -> CheckResult {
        CheckResult {
            check: self,
            outcome: Outcome::Warned(Finding { cause: cause.into(), fix: fix.into() }),
        }
    }

    pub(super) fn failed(self, cause: impl Into<String>, fix: impl Into<String>) -> CheckResult {
        CheckResult {
            check: self,
            outcome: Outcome::Failed(Finding { cause: cause.into(), fix: fix.into() }),
        }
    }

    pub(super) fn skipped(self, reason: impl Into<String>) -> CheckResult {
        CheckResult { check: self, outcome: Outcome::Skipped(reason.into()) }
    }
}

impl CheckResult {
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }

    fn line(&self) -> String {
        let name = self.check.name();
        match &self.outcome {
            Outcome::Passed(found) => format!("✓ {name}: {found}"),
            Outcome::Warned(Finding { cause, fix }) => format!("! {name}: {cause} → {fix}"),
            Outcome::Failed(Finding { cause, fix }) => format!("✗ {name}: {cause} → {fix}"),
            Outcome::Skipped(reason) => format!("– {name}: skipped, {reason}"),
        }
    }

    fn json(&self) -> Value {
        let name = self.check.name();
        match &self.outcome {
            Outcome::Passed(found) => json!({ "name": name, "result": "passed", "found": plain(found) }),
            Outcome::Warned(finding) => finding.json(name, "warned"),
            Outcome::Failed(finding) => finding.json(name, "failed"),
            Outcome::Skipped(reason) => json!({ "name": name, "result": "skipped", "reason": plain(reason) }),
        }
    }
}

impl Finding {
    fn json(&self, name: &str, result: &str) -> Value {
        json!({ "name": name, "result": result, "cause": plain(&self.cause), "fix": plain(&self.fix) })
    }
}

/// The results of all checks, in the order in which they were made, and with those that could not be made.
#[derive(Default)]
pub(super) struct Report(Vec<CheckResult>);

impl Report {
    /// Adds the results of checks.
    pub(super) fn add(&mut self, results: impl IntoIterator<Item = CheckResult>) {
        for result in results {
            self.skip_up_to(|check| check < result.check);
            self.0.push(result);
        }
    }

    /// Adds the checks that remain and could not be made.
    pub(super) fn finish(mut self) -> Self {
        self.skip_up_to(|_| true);
        self
    }

    /// Returns true if what the check needs is missing.
    pub(super) fn must_skip(&self, check: Check) -> bool {
        self.reason_to_skip(check).is_some()
    }

    /// Adds, as skipped, each of those checks whose needs are missing, unless it was made all the same.
    fn skip_up_to(&mut self, is_due: impl Fn(Check) -> bool) {
        for check in Check::ALL.iter().copied().filter(|check| is_due(*check)) {
            let is_made = self.0.iter().any(|result| result.check == check);
            if let Some(reason) = self.reason_to_skip(check).filter(|_| !is_made) {
                self.0.push(check.skipped(reason));
            }
        }
    }

    fn reason_to_skip(&self, check: Check) -> Option<String> {
        check.needs().iter().find_map(|need| {
            let failure = need.checks.iter().find_map(|check| self.failure_behind(*check))?;
            Some(need.otherwise.map_or(failure, |otherwise| format!("since {otherwise}")))
        })
    }

    /// Returns the failure of the check, or the one for which it could not be made.
    fn failure_behind(&self, check: Check) -> Option<String> {
        if self.0.iter().any(|result| result.check == check && result.has_failed()) {
            return Some(format!("since {} failed", check.name()));
        }
        self.reason_to_skip(check)
    }

    /// Returns the exit code: 0 when none failed, else 1.
    pub(super) fn code(&self) -> u8 {
        u8::from(self.0.iter().any(CheckResult::has_failed))
    }

    /// Prints the results in that form, without the end of the last line.
    pub(super) fn print(&self, format: Format) -> String {
        match format {
            Format::Text => self.text(),
            Format::Json => self.json().to_string(),
        }
    }

    fn text(&self) -> String {
        let mut text: String = self.0.iter().map(|result| plain(&result.line()) + "\n").collect();
        let [passed, warned, failed, skipped] = self.counts();
        let _ = write!(text, "{passed} passed, {warned} with a warning, {failed} failed, {skipped} skipped"); // to a String
        text
    }

    fn json(&self) -> Value {
        let checks: Vec<_> = self.0.iter().map(CheckResult::json).collect();
        json!({ "passed": self.code() == 0, "checks": checks })
    }

    fn counts(&self) -> [usize; 4] {
        let mut counts = [0; 4];
        for result in &self.0 {
            counts[match result.outcome {
                Outcome::Passed(_) => 0,
                Outcome::Warned(_) => 1,
                Outcome::Failed(_) => 2,
                Outcome::Skipped(_) => 3,
            }] += 1;
        }
        counts
    }
}

/// Replaces control characters, which would move a terminal's cursor: names in certificates and files are not trusted.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_one_line_whatever_a_stranger_put_into_it() {
        let report = Report(vec![Check::VaultTls.failed("CN=a\n✓ key: \u{1b}[2J", "b")]);
        assert_eq!(report.text().lines().count(), 2);
        assert!(!report.text().contains('\u{1b}'));
        assert!(!report.json().to_string().contains("\\u001b"));
    }

    #[test]
    fn warnings_and_skipped_checks_do_not_fail_the_whole() {
        let mut report = Report(vec![Check::Clock.warned("b", "c"), Check::Token.skipped("e")]);
        assert_eq!(report.code(), 0);
        report.0.push(Check::Ports.failed("g", "h"));
        assert_eq!(report.code(), 1);
    }

    /// The names of the checks that are skipped, and why.
    fn skipped(results: impl IntoIterator<Item = CheckResult>) -> Vec<(&'static str, String)> {
        let mut report = Report::default();
        report.add(results);
        let skipped = report.finish().0.into_iter().filter_map(|result| match result.outcome {
            Outcome::Skipped(reason) => Some((result.check.name(), reason)),
            _ => None,
        });
        skipped.collect()
    }

    fn all_for(reason: &str, names: &[&'static str]) -> Vec<(&'static str, String)> {
        names.iter().map(|name| (*name, reason.to_owned())).collect()
    }

    const AFTER_THE_TOKEN: [&str; 9] = [
        "vault-access",
        "key",
        "key-enabled",
        "key-validity",
        "key-type",
        "key-operations",
        "key-recovery",
        "round-trip-v2",
        "round-trip-v1",
    ];

    #[test]
    fn what_needs_a_check_that_failed_is_skipped_with_the_reason() {
        let token = Check::Token.failed("", "");
        assert_eq!(skipped([token]), all_for("since token failed", &AFTER_THE_TOKEN));
        let expected = [
            all_for("since issuer-name failed", &["issuer-tcp", "issuer-tls"]),
            all_for("since its issuer does not answer", &["token"]),
            all_for("since there is no token", &AFTER_THE_TOKEN),
        ];
        assert_eq!(skipped([Check::IssuerName.failed("", "")]), expected.concat());
        let vault = [Check::Token.passed(""), Check::VaultTls.failed("", "")];
        assert_eq!(skipped(vault), all_for("since the vault does not answer", &AFTER_THE_TOKEN));
        let daemon = Check::DaemonStatus.failed("", "");
        assert_eq!(skipped([daemon]), all_for("since daemon-status failed", &["daemon-v2", "daemon-v1"]));
    }

    #[test]
    fn what_was_found_out_all_the_same_is_not_skipped() {
        let key = [Check::KeyEnabled, Check::KeyValidity, Check::KeyType].map(|check| check.failed("", ""));
        let key = key.into_iter().chain([Check::KeyOperations, Check::KeyRecovery].map(|c| c.passed("")));
        assert_eq!(skipped(key), all_for("since key-enabled failed", &["round-trip-v2", "round-trip-v1"]));
    }

    #[test]
    fn a_check_that_there_is_nothing_for_skips_no_other() {
        let imds =
            [Check::IssuerName.skipped("a"), Check::IssuerTcp.passed(""), Check::IssuerTls.skipped("a")];
        assert_eq!(skipped(imds), all_for("a", &["issuer-name", "issuer-tls"]));
    }

    #[test]
    fn without_the_files_only_the_socket_is_checked_and_the_rest_stands_in_its_place() {
        let made = [Check::CaFiles.failed("", ""), Check::AzureJson.passed(""), Check::Socket.passed("")];
        let mut report = Report::default();
        report.add(made);
        let names: Vec<_> = report.finish().0.into_iter().map(|result| result.check.name()).collect();
        let before = ["ca-files", "azure-json", "permissions", "issuer-name", "issuer-tcp", "issuer-tls"];
        let vault = ["vault-name", "vault-tcp", "vault-tls", "clock", "token"];
        assert_eq!(names, [&before[..], &vault, &AFTER_THE_TOKEN, &["socket", "ports"]].concat());
    }
}
