//! Logs, metrics and traces. Started by `app` before anything else.
//!
//! Logs go to standard error, one line per event: klog text, or Kubernetes' JSON. Traces go to a collector, if one is
//! configured: the request spans that the log has too, and spans for calls to Key Vault.

mod fields;
mod json;
mod klog;
mod layer;
mod log_dedup;
mod metrics;
pub(crate) mod traces;

use std::io::Write;
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::{Layer, util::SubscriberInitExt};

pub(crate) use log_dedup::{LogDedup, log_or_debug};
pub(crate) use metrics::{AdmissionView, GaugeGuard, KeyOperation, KeyVaultCall, Metrics};

use crate::config::{LogConfig, TracesConfig};
use layer::LogLayer;
use opentelemetry_sdk::trace::SdkTracer;
use traces::EndedSpans;

/// The target of lines that are logged at every verbosity: starts, failures, restarts and stops.
pub(crate) const LIFECYCLE: &str = "lifecycle";

/// The metrics and spans of the process. Its logs are global.
pub(crate) struct Telemetry {
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The ended spans to export, if traces are configured.
    pub spans: Option<EndedSpans>,
}

impl Telemetry {
    /// Starts to log to standard error, and to collect spans if traces are configured. Only the first call in a process
    /// installs the subscriber.
    pub(crate) fn init(log: LogConfig, traces: Option<&TracesConfig>) -> Self {
        let metrics = Arc::new(Metrics::new());
        let (tracer, spans) = traces.map(|traces| traces::collect(traces, metrics.dropped_spans())).unzip();
        let _ = subscriber(log, tracer, |line| {
            let _ = std::io::stderr().write_all(line.as_bytes()); // there is nowhere to report an error of the log
        })
        .try_init();
        Self { metrics, spans }
    }
}

/// Returns a subscriber that passes each line to `write`, and the spans of requests to `tracer`.
pub(crate) fn subscriber(
    log: LogConfig,
    tracer: Option<SdkTracer>,
    write: impl Fn(&str) + Send + Sync + 'static,
) -> impl Subscriber + Send + Sync {
    let format = if log.is_json { json::line } else { klog::line };
    let filter = filter_fn(move |metadata| is_logged(log.verbosity, metadata))
        .with_max_level_hint(level(log.verbosity).max(LevelFilter::INFO));
    // no `Option` of a layer: with `None`, disabled callsites would be evaluated at every event
    let mut layers = vec![LogLayer::new(format, write).with_filter(filter).boxed()];
    layers.extend(tracer.map(|tracer| traces::layer(tracer).boxed()));
    Registry::default().with(layers)
}

fn is_logged(verbosity: u8, metadata: &Metadata<'_>) -> bool {
    let (target, level) = (metadata.target(), *metadata.level());
    if target == LIFECYCLE {
        return true;
    }
    if target == traces::CALL {
        return false;
    }
    if target.starts_with(env!("CARGO_CRATE_NAME")) {
        return metadata.is_span() || level <= self::level(verbosity);
    }
    // the SDK's own lines can hold bodies and identities; ours report the same without them
    let may_leak = ["azure_", "typespec", "reqwest", "hyper"].iter().any(|prefix| target.starts_with(prefix));
    !may_leak && level <= Level::WARN
}

/// Returns the level of a verbosity, as in the Go plugin: 0 warnings and errors, 2 info, 4 debug, 6 trace.
fn level(verbosity: u8) -> LevelFilter {
    match verbosity {
        0..=1 => LevelFilter::WARN,
        2..=3 => LevelFilter::INFO,
        4..=5 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

/// Captures the logs of this thread at `-v=0` until the guard is dropped.
#[cfg(test)]
pub(crate) fn capture_logs() -> (tracing::subscriber::DefaultGuard, Arc<std::sync::Mutex<String>>) {
    let text = Arc::new(std::sync::Mutex::new(String::new()));
    let sink = text.clone();
    let write = move |line: &str| sink.lock().unwrap().push_str(line);
    (
        tracing::subscriber::set_default(subscriber(LogConfig { is_json: false, verbosity: 0 }, None, write)),
        text,
    )
}

#[cfg(test)]
mod tests;
