//! The export of ended spans to the collector: a queue that never blocks, and a task that exports it in batches.
//!
//! It replaces the SDK's batch processor, which does not report how many spans it dropped, and whose thread blocks on a
//! hung collector.

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

/// The service name of the spans.
const SERVICE: &str = env!("CARGO_PKG_NAME");
/// Spans in the queue; more are dropped. The SDK's default, like the next two.
const QUEUE_CAPACITY: usize = 2048;
/// Spans in one request to the collector.
const BATCH_SIZE: usize = 512;
/// The time after which a smaller batch is exported.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// The time within which the collector must accept a batch, with retries.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// The time for which the end of the process waits until the queue is flushed.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Starts to collect spans, and counts those that are dropped.
pub(in crate::telemetry) fn collect(traces: &TracesConfig, dropped: Counter) -> (SdkTracer, EndedSpans) {
    let (sender, spans) = mpsc::channel(QUEUE_CAPACITY);
    let queue = SpanQueue { sender: sender.downgrade(), dropped: dropped.clone() };
    let rate = f64::from(traces.per_million) / 1e6;
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(rate))))
        .with_span_processor(queue)
        .build();
    (provider.tracer(SERVICE), EndedSpans { sender, spans, dropped })
}

/// The sending end of the queue, which every ended span goes into.
#[derive(Debug)]
struct SpanQueue {
    sender: mpsc::WeakSender<SpanData>,
    dropped: Counter,
}

impl SpanProcessor for SpanQueue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let is_queued = self.sender.upgrade().is_some_and(|sender| sender.try_send(span).is_ok());
        if !is_queued {
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

/// The queue of ended spans before their export.
pub(crate) struct EndedSpans {
    sender: mpsc::Sender<SpanData>,
    pub(super) spans: mpsc::Receiver<SpanData>,
    dropped: Counter,
}

impl EndedSpans {
    /// Starts to export them.
    ///
    /// # Errors
    /// A sentence, when the exporter cannot be built.
    pub(crate) fn export(self, traces: &TracesConfig, io: &Handle) -> Result<ExportTask, String> {
        let _on_io = io.enter(); // its connection belongs to the runtime that serves it
        let endpoint = traces.endpoint.to_string();
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(&endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .build();
        let mut exporter = exporter.map_err(|error| format!("--tracing-endpoint: {error}"))?;
        exporter.set_resource(&resource());
        Ok(self.export_by(exporter, endpoint))
    }

    fn export_by(self, exporter: impl SpanExporter + 'static, endpoint: String) -> ExportTask {
        let Self { sender, spans, dropped } = self;
        ExportTask { sender, task: tokio::spawn(export(spans, exporter, endpoint, dropped)) }
    }
}

/// Returns the origin of the spans: this program, on this node. `OTEL_RESOURCE_ATTRIBUTES` adds to it.
fn resource() -> Resource {
    let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Resource::builder()
        .with_service_name(SERVICE)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("host.name", node))
        .build()
}

/// The running export.
pub(crate) struct ExportTask {
    /// The only strong sender: without it the queue is closed.
    sender: mpsc::Sender<SpanData>,
    task: JoinHandle<()>,
}

impl ExportTask {
    /// Closes the queue, and waits at most [`FLUSH_TIMEOUT`] until it is flushed.
    pub(crate) async fn flush(self) {
        drop(self.sender);
        if timeout(FLUSH_TIMEOUT, self.task).await.is_err() {
            tracing::info!(target: LIFECYCLE, "The last traces were not exported in time");
        }
    }
}

/// Exports batches until the queue is closed. Logs one warning per outage of the collector.
async fn export(
    spans: mpsc::Receiver<SpanData>,
    exporter: impl SpanExporter,
    endpoint: String,
    dropped: Counter,
) {
    let mut batches = pin!(ReceiverStream::new(spans).chunks_timeout(BATCH_SIZE, BATCH_DELAY));
    let log_dedup = LogDedup::once();
    while let Some(batch) = batches.next().await {
        let size = batch.len() as u64;
        let failure = match timeout(EXPORT_TIMEOUT, exporter.export(batch)).await {
            Ok(exported) => exported.err().map(|error| error.to_string()),
            Err(_) => Some(format!("no answer within {} s", EXPORT_TIMEOUT.as_secs())),
        };
        match failure {
            Some(err) => {
                dropped.inc_by(size);
                if log_dedup.should_log(()) {
                    let err = format!("--tracing-endpoint {endpoint}: {err}");
                    tracing::warn!(target: LIFECYCLE, err, "Traces cannot be exported: they are dropped");
                }
            }
            None if log_dedup.recover() => {
                tracing::info!(target: LIFECYCLE, "Traces are exported again");
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
