//! The queue, the collector that fails, and the end.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use opentelemetry::trace::{Span as _, Tracer};
use opentelemetry_sdk::error::OTelSdkError;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::subscriber::set_default;

use super::*;
use crate::config::LogConfig;
use crate::telemetry::subscriber;

const ENDPOINT: &str = "http://127.0.0.1:4317";

/// What the collector does with a batch.
#[derive(Clone, Copy, Debug)]
enum Does {
    Take,
    Refuse,
    Hang,
}

/// A collector that counts what it took.
#[derive(Clone, Debug)]
struct Collector {
    does: Arc<Mutex<Does>>,
    asked: Arc<Notify>,
    spans: Arc<AtomicU32>,
}

impl Collector {
    fn that(does: Does) -> Self {
        Self { does: Arc::new(Mutex::new(does)), asked: Arc::default(), spans: Arc::default() }
    }

    fn next(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    fn spans(&self) -> u32 {
        self.spans.load(Ordering::SeqCst)
    }
}

impl SpanExporter for Collector {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.asked.notify_one();
        let does = *self.does.lock().unwrap();
        match does {
            Does::Take => {
                self.spans.fetch_add(batch.len() as u32, Ordering::SeqCst);
                Ok(())
            }
            Does::Refuse => Err(OTelSdkError::InternalFailure("refused".into())),
            Does::Hang => std::future::pending().await,
        }
    }
}

fn all() -> TracesConfig {
    TracesConfig { endpoint: ENDPOINT.parse().unwrap(), per_million: 1_000_000 }
}

fn end(tracer: &SdkTracer, spans: usize) {
    for _ in 0..spans {
        tracer.start("span").end();
    }
}

/// The lines of the log from now on.
fn log() -> (Arc<Mutex<String>>, tracing::subscriber::DefaultGuard) {
    let log = Arc::new(Mutex::new(String::new()));
    let sink = log.clone();
    let write = move |line: &str| sink.lock().unwrap().push_str(line);
    (log, set_default(subscriber(LogConfig::default(), None, write)))
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_the_last_spans_and_not_for_a_collector_that_hangs() {
    for (does, exported, waited) in [(Does::Take, 3, Duration::ZERO), (Does::Hang, 0, FLUSH)] {
        let (tracer, ended) = collect(&all(), Counter::default());
        let collector = Collector::that(does);
        let exporting = ended.export_by(collector.clone(), ENDPOINT.into());
        end(&tracer, 3);
        let start = Instant::now();
        exporting.flush().await;
        assert_eq!((collector.spans(), start.elapsed()), (exported, waited), "{does:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_and_counts_and_never_waits() {
    let dropped = Counter::default();
    let (tracer, ended) = collect(&all(), dropped.clone());
    end(&tracer, QUEUE + 5);
    assert_eq!(dropped.get(), 5);
    let collector = Collector::that(Does::Take);
    ended.export_by(collector.clone(), ENDPOINT.into()).flush().await;
    assert_eq!(collector.spans() as usize, QUEUE);
    end(&tracer, 1);
    assert_eq!(dropped.get(), 6); // after the end
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_collector_is_told_once_and_its_spans_are_counted() {
    let (log, _on) = log();
    let dropped = Counter::default();
    let (tracer, ended) = collect(&all(), dropped.clone());
    let collector = Collector::that(Does::Refuse);
    let exporting = ended.export_by(collector.clone(), ENDPOINT.into());
    for does in [Does::Refuse, Does::Hang, Does::Take, Does::Take] {
        collector.next(does);
        end(&tracer, 2);
        collector.asked.notified().await;
        tokio::time::sleep(EXPORT).await; // paused time: what hangs is given up
    }
    exporting.flush().await;
    assert_eq!((dropped.get(), collector.spans()), (4, 4));
    let log = log.lock().unwrap().clone();
    assert_eq!(log.matches("Traces cannot be exported").count(), 1, "{log}");
    assert_eq!(log.matches("Traces are exported again").count(), 1, "{log}");
    assert!(log.contains("refused") && log.contains("--tracing-endpoint http://127.0.0.1:4317"), "{log}");
}
