//! A collection of every problem of a configuration, so that an operator can fix them in one go.

use std::fmt;

/// The problems of a configuration: a sentence each, with the flag, the variable, or the file and field.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Problems(pub Vec<String>);

impl Problems {
    /// Returns the value, or notes the problem as that of `--{flag}`.
    pub(crate) fn flag<T>(&mut self, flag: &str, value: Result<T, String>) -> Option<T> {
        self.note(value.map_err(|problem| format!("--{flag}: {problem}")))
    }

    /// Returns the value, or notes all its problems.
    pub(super) fn all<T>(&mut self, value: Result<T, Problems>) -> Option<T> {
        value.map_err(|problems| self.0.extend(problems.0)).ok()
    }

    /// Returns the value, or notes the problem as it is.
    pub(super) fn note<T>(&mut self, value: Result<T, String>) -> Option<T> {
        value.map_err(|problem| self.0.push(problem)).ok()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}
