//! Logs, metrics and traces. Started by `app` before anything else.
//!
//! Logs go to standard error, one line an event: klog text, or Kubernetes' JSON. Traces go to a collector, if one is
//! configured: the log's spans of requests, and more that only they have.

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
pub(crate) use metrics::{AdmissionView, Counted, KeyOperation, KeyVaultCall, Metrics};

use crate::config::{LogConfig, TracesConfig};
use layer::LogLayer;
use opentelemetry_sdk::trace::SdkTracer;
use traces::EndedSpans;

/// The target of lines that an operator always wants: what starts, fails, restarts and ends.
pub(crate) const LIFECYCLE: &str = "lifecycle";

/// What the process tells of itself, beside its log.
pub(crate) struct Telemetry {
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// The spans that are to be exported, if traces are wanted.
    pub spans: Option<EndedSpans>,
}

impl Telemetry {
    /// Sends the logs of this process to standard error from now on, and begins to collect spans if they go anywhere.
    /// A second call sends nothing.
    pub(crate) fn init(log: LogConfig, traces: Option<&TracesConfig>) -> Self {
        let metrics = Arc::new(Metrics::new());
        let (tracer, spans) = traces.map(|traces| traces::collect(traces, metrics.dropped_spans())).unzip();
        let _ = subscriber(log, tracer, |line| {
            let _ = std::io::stderr().write_all(line.as_bytes()); // a log that cannot be written has nowhere to complain
        })
        .try_init();
        Self { metrics, spans }
    }
}

/// Gives each line to `write`, and the spans of requests to `tracer`.
pub(crate) fn subscriber(
    log: LogConfig,
    tracer: Option<SdkTracer>,
    write: impl Fn(&str) + Send + Sync + 'static,
) -> impl Subscriber + Send + Sync {
    let format = if log.is_json { json::line } else { klog::line };
    let filter = filter_fn(move |metadata| shows(log.verbosity, metadata))
        .with_max_level_hint(level(log.verbosity).max(LevelFilter::INFO));
    // no `Option` of a layer: beside one that is not there, what nobody listens to is asked about each time
    let mut layers = vec![LogLayer::new(format, write).with_filter(filter).boxed()];
    layers.extend(tracer.map(|tracer| traces::layer(tracer).boxed()));
    Registry::default().with(layers)
}

fn shows(verbosity: u8, metadata: &Metadata<'_>) -> bool {
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

/// What is logged at `-v=0` on this thread for as long as the guard lives.
#[cfg(test)]
pub(crate) fn overheard() -> (tracing::subscriber::DefaultGuard, Arc<std::sync::Mutex<String>>) {
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
