//! Logs and metrics. Started by `app` before anything else.
//!
//! Logs go to standard error, one line an event: klog text, or Kubernetes' JSON.

mod fields;
mod json;
mod klog;
mod layer;
mod metrics;

use std::io::Write;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::{Layer, util::SubscriberInitExt};

pub(crate) use metrics::{Counted, KeyOperation, Method, Metrics};

use crate::config::LogConfig;
use layer::LogLayer;

/// The target of lines that an operator always wants: what starts, fails, restarts and ends.
pub(crate) const LIFECYCLE: &str = "lifecycle";

/// Sends the logs of this process to standard error. A second call changes nothing.
pub(crate) fn init(log: LogConfig) {
    let _ = subscriber(log, |line| {
        let _ = std::io::stderr().write_all(line.as_bytes()); // a log that cannot be written has nowhere to complain
    })
    .try_init();
}

/// Gives each line to `write`.
pub(crate) fn subscriber(
    log: LogConfig,
    write: impl Fn(&str) + Send + Sync + 'static,
) -> impl Subscriber + Send + Sync {
    let format = if log.json { json::line } else { klog::line };
    let filter = filter_fn(move |metadata| shows(log.verbosity, metadata))
        .with_max_level_hint(level(log.verbosity).max(LevelFilter::INFO));
    Registry::default().with(LogLayer::new(format, write).with_filter(filter))
}

fn shows(verbosity: u8, metadata: &Metadata<'_>) -> bool {
    let (target, level) = (metadata.target(), *metadata.level());
    if target == LIFECYCLE {
        return true;
    }
    if target.starts_with(env!("CARGO_CRATE_NAME")) {
        return metadata.is_span() || level <= self::level(verbosity);
    }
    // The SDK's own lines can hold bodies and identities; what they say, ours say without them.
    let may_leak = ["azure_", "typespec", "reqwest", "hyper"].iter().any(|prefix| target.starts_with(prefix));
    !may_leak && level <= Level::WARN
}

/// The levels of compatibility with the Go plugin: 0 warnings and errors, 2 info, 4 debug, 6 trace.
fn level(verbosity: u8) -> LevelFilter {
    match verbosity {
        0..=1 => LevelFilter::WARN,
        2..=3 => LevelFilter::INFO,
        4..=5 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests;
