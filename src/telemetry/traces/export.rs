//! From the end of a span to the collector: a queue that never waits, and a task that empties it.
//!
//! Not the SDK's batch processor: it does not tell how many spans it dropped, has a thread of its own, and waits for a
//! hung collector with it.

use std::pin::pin;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor,
};
use prometheus_client::metrics::counter::Counter;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use crate::config::TracesConfig;
use crate::telemetry::{LIFECYCLE, LogDedup};

/// What calls the spans its own.
const SERVICE: &str = env!("CARGO_PKG_NAME");
/// Spans that wait for the collector; more are dropped. The SDK's default, as the next two.
const QUEUE: usize = 2048;
/// Spans in one message to the collector.
const BATCH: usize = 512;
/// How long a span waits for others to go with.
const DELAY: Duration = Duration::from_secs(1);
/// How long the collector may take for a batch, with retries.
const EXPORT: Duration = Duration::from_secs(5);
/// How long the last spans may hold up the end of the process.
const FLUSH: Duration = Duration::from_secs(1);

/// Begins to collect spans, and counts those that are dropped.
pub(in crate::telemetry) fn collect(traces: &TracesConfig, dropped: Counter) -> (SdkTracer, EndedSpans) {
    let (open, spans) = mpsc::channel(QUEUE);
    let queue = Queue { spans: open.downgrade(), dropped: dropped.clone() };
    let rate = f64::from(traces.per_million) / 1e6;
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(rate))))
        .with_span_processor(queue)
        .build();
    (provider.tracer(SERVICE), EndedSpans { open, spans, dropped })
}

/// Takes every span that ends.
#[derive(Debug)]
struct Queue {
    spans: mpsc::WeakSender<SpanData>,
    dropped: Counter,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let taken = self.spans.upgrade().is_some_and(|spans| spans.try_send(span).is_ok());
        if !taken {
            self.dropped.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The spans that have ended and wait to be exported.
pub(crate) struct EndedSpans {
    open: mpsc::Sender<SpanData>,
    pub(super) spans: mpsc::Receiver<SpanData>,
    dropped: Counter,
}

impl EndedSpans {
    /// Exports them from now on.
    ///
    /// # Errors
    /// There is no exporter; says why.
    pub(crate) fn export(self, traces: &TracesConfig, io: &Handle) -> Result<Exporting, String> {
        let _on_io = io.enter(); // its connection belongs to the runtime that serves it
        let endpoint = traces.endpoint.to_string();
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(&endpoint)
            .with_timeout(EXPORT)
            .build();
        let mut exporter = exporter.map_err(|error| format!("--tracing-endpoint: {error}"))?;
        exporter.set_resource(&resource());
        Ok(self.export_by(exporter, endpoint))
    }

    fn export_by(self, exporter: impl SpanExporter + 'static, endpoint: String) -> Exporting {
        let Self { open, spans, dropped } = self;
        Exporting { open, task: tokio::spawn(export(spans, exporter, endpoint, dropped)) }
    }
}

/// Who made the spans: this program, on this node. `OTEL_RESOURCE_ATTRIBUTES` adds to it.
fn resource() -> Resource {
    let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Resource::builder()
        .with_service_name(SERVICE)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("host.name", node))
        .build()
}

/// The export under way.
pub(crate) struct Exporting {
    /// While it is there, the queue is open.
    open: mpsc::Sender<SpanData>,
    task: JoinHandle<()>,
}

impl Exporting {
    /// Exports what has ended until now, and no more. Does not wait for long.
    pub(crate) async fn flush(self) {
        drop(self.open);
        if timeout(FLUSH, self.task).await.is_err() {
            tracing::info!(target: LIFECYCLE, "The last traces were not exported in time");
        }
    }
}

/// One warning for each time that the collector does not take them.
async fn export(
    spans: mpsc::Receiver<SpanData>,
    exporter: impl SpanExporter,
    endpoint: String,
    dropped: Counter,
) {
    let mut batches = pin!(ReceiverStream::new(spans).chunks_timeout(BATCH, DELAY));
    let logged = LogDedup::once();
    while let Some(batch) = batches.next().await {
        let size = batch.len() as u64;
        let failure = match timeout(EXPORT, exporter.export(batch)).await {
            Ok(exported) => exported.err().map(|error| error.to_string()),
            Err(_) => Some(format!("no answer within {} s", EXPORT.as_secs())),
        };
        match failure {
            Some(err) => {
                dropped.inc_by(size);
                if logged.should_log(()) {
                    let err = format!("--tracing-endpoint {endpoint}: {err}");
                    tracing::warn!(target: LIFECYCLE, err, "Traces cannot be exported: they are dropped");
                }
            }
            None if logged.recover() => {
                tracing::info!(target: LIFECYCLE, "Traces are exported again");
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
