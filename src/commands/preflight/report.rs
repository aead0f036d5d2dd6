//! The checks and how they went, as lines for people or as JSON for machines.

use std::fmt::Write;

use serde_json::{Value, json};

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One line a check.
    Text,
    /// One object.
    Json,
}

impl Format {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("--output: {text:?} must be text or json")),
        }
    }
}

/// How a check went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// As it should; what was found.
    Passed(String),
    /// The daemon will work, and yet.
    Warned(Finding),
    /// The daemon will not work like this.
    Failed(Finding),
    /// It depends on another that did not pass, or there is nothing to check; which, or why.
    Skipped(String),
}

/// What is wrong, and the command or setting that mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) cause: String,
    pub(super) mend: String,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    /// The same in every release: machines look for it.
    pub(super) name: &'static str,
    pub(super) outcome: Outcome,
}

impl Check {
    pub(super) fn passed(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Passed(found.into()) }
    }

    pub(super) fn warned(name: &'static str, cause: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Warned(Finding { cause: cause.into(), mend: mend.into() }) }
    }

    pub(super) fn failed(name: &'static str, cause: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Failed(Finding { cause: cause.into(), mend: mend.into() }) }
    }

    pub(super) fn skipped(name: &'static str, why: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Skipped(why.into()) }
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }

    fn line(&self) -> String {
        let name = self.name;
        match &self.outcome {
            Outcome::Passed(found) => format!("✓ {name}: {found}"),
            Outcome::Warned(Finding { cause, mend }) => format!("! {name}: {cause} → {mend}"),
            Outcome::Failed(Finding { cause, mend }) => format!("✗ {name}: {cause} → {mend}"),
            Outcome::Skipped(why) => format!("– {name}: skipped, {why}"),
        }
    }

    fn json(&self) -> Value {
        let name = self.name;
        match &self.outcome {
            Outcome::Passed(found) => json!({ "name": name, "result": "passed", "found": plain(found) }),
            Outcome::Warned(finding) => finding.json(name, "warned"),
            Outcome::Failed(finding) => finding.json(name, "failed"),
            Outcome::Skipped(why) => json!({ "name": name, "result": "skipped", "reason": plain(why) }),
        }
    }
}

impl Finding {
    fn json(&self, name: &str, result: &str) -> Value {
        json!({ "name": name, "result": result, "cause": plain(&self.cause), "mend": plain(&self.mend) })
    }
}

/// Every check, in the order in which they were made.
#[derive(Default)]
pub(super) struct Report(pub(super) Vec<Check>);

impl Report {
    /// 0 when none failed, else 1.
    pub(super) fn code(&self) -> u8 {
        u8::from(self.0.iter().any(Check::has_failed))
    }

    pub(super) fn print(&self, format: Format) -> String {
        match format {
            Format::Text => self.text(),
            Format::Json => self.json().to_string(),
        }
    }

    fn text(&self) -> String {
        let mut text: String = self.0.iter().map(|check| plain(&check.line()) + "\n").collect();
        let [passed, warned, failed, skipped] = self.counts();
        let _ = write!(text, "{passed} passed, {warned} with a warning, {failed} failed, {skipped} skipped"); // to a String
        text
    }

    fn json(&self) -> Value {
        let checks: Vec<_> = self.0.iter().map(Check::json).collect();
        json!({ "passed": self.code() == 0, "checks": checks })
    }

    fn counts(&self) -> [usize; 4] {
        let mut counts = [0; 4];
        for check in &self.0 {
            counts[match check.outcome {
                Outcome::Passed(_) => 0,
                Outcome::Warned(_) => 1,
                Outcome::Failed(_) => 2,
                Outcome::Skipped(_) => 3,
            }] += 1;
        }
        counts
    }
}

/// Names in certificates and files are other people's: what would move a terminal's cursor goes.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_one_line_whatever_a_stranger_put_into_it() {
        let report = Report(vec![Check::failed("vault-tls", "CN=a\n✓ key: \u{1b}[2J", "b")]);
        assert_eq!(report.text().lines().count(), 2);
        assert!(!report.text().contains('\u{1b}'));
        assert!(!report.json().to_string().contains("\\u001b"));
    }

    #[test]
    fn warnings_and_skipped_checks_do_not_fail_the_whole() {
        let mut report = Report(vec![Check::warned("a", "b", "c"), Check::skipped("d", "e")]);
        assert_eq!(report.code(), 0);
        report.0.push(Check::failed("f", "g", "h"));
        assert_eq!(report.code(), 1);
    }
}
