//! How to log.

use crate::cli::Flags;

/// How to log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogConfig {
    /// Kubernetes' JSON instead of klog text.
    pub json: bool,
    /// `-v`.
    pub verbosity: u8,
}

impl LogConfig {
    /// How to log, as far as the flags are valid: also needed to report that they are not.
    pub(crate) fn of(flags: &Flags) -> Self {
        Self { json: flags.log_format_json == "true", verbosity: flags.verbosity.parse().unwrap_or(0) }
    }
}
