//! The queue, outages of the collector, and the flush at the end.

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

/// The behaviour of the collector on a batch.
#[derive(Clone, Copy, Debug)]
enum Behaviour {
    Accept,
    Refuse,
    Hang,
}

/// A collector that counts the spans that it accepted.
#[derive(Clone, Debug)]
struct Collector {
    behaviour: Arc<Mutex<Behaviour>>,
    called: Arc<Notify>,
    spans: Arc<AtomicU32>,
}

impl Collector {
    fn new(behaviour: Behaviour) -> Self {
        Self { behaviour: Arc::new(Mutex::new(behaviour)), called: Arc::default(), spans: Arc::default() }
    }

    fn set_behaviour(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    fn spans(&self) -> u32 {
        self.spans.load(Ordering::SeqCst)
    }
}

impl SpanExporter for Collector {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.called.notify_one();
        let behaviour = *self.behaviour.lock().unwrap();
        match behaviour {
            Behaviour::Accept => {
                self.spans.fetch_add(batch.len() as u32, Ordering::SeqCst);
                Ok(())
            }
            Behaviour::Refuse => Err(OTelSdkError::InternalFailure("refused".into())),
            Behaviour::Hang => std::future::pending().await,
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

/// Captures the lines of the log from now on.
fn log() -> (Arc<Mutex<String>>, tracing::subscriber::DefaultGuard) {
    let log = Arc::new(Mutex::new(String::new()));
    let sink = log.clone();
    let write = move |line: &str| sink.lock().unwrap().push_str(line);
    (log, set_default(subscriber(LogConfig::default(), None, write)))
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_the_last_spans_and_not_for_a_collector_that_hangs() {
    for (behaviour, exported, waited) in
        [(Behaviour::Accept, 3, Duration::ZERO), (Behaviour::Hang, 0, FLUSH_TIMEOUT)]
    {
        let (tracer, ended) = collect(&all(), Counter::default());
        let collector = Collector::new(behaviour);
        let export_task = ended.export_by(collector.clone(), ENDPOINT.into());
        end(&tracer, 3);
        let start = Instant::now();
        export_task.flush().await;
        assert_eq!((collector.spans(), start.elapsed()), (exported, waited), "{behaviour:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_and_counts_and_never_waits() {
    let dropped = Counter::default();
    let (tracer, ended) = collect(&all(), dropped.clone());
    end(&tracer, QUEUE_CAPACITY + 5);
    assert_eq!(dropped.get(), 5);
    let collector = Collector::new(Behaviour::Accept);
    ended.export_by(collector.clone(), ENDPOINT.into()).flush().await;
    assert_eq!(collector.spans() as usize, QUEUE_CAPACITY);
    end(&tracer, 1);
    assert_eq!(dropped.get(), 6); // after the end
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_collector_is_told_once_and_its_spans_are_counted() {
    let (log, _on) = log();
    let dropped = Counter::default();
    let (tracer, ended) = collect(&all(), dropped.clone());
    let collector = Collector::new(Behaviour::Refuse);
    let export_task = ended.export_by(collector.clone(), ENDPOINT.into());
    for behaviour in [Behaviour::Refuse, Behaviour::Hang, Behaviour::Accept, Behaviour::Accept] {
        collector.set_behaviour(behaviour);
        end(&tracer, 2);
        collector.called.notified().await;
        tokio::time::sleep(EXPORT_TIMEOUT).await; // paused time: a call that hangs times out
    }
    export_task.flush().await;
    assert_eq!((dropped.get(), collector.spans()), (4, 4));
    let log = log.lock().unwrap().clone();
    assert_eq!(log.matches("Traces cannot be exported").count(), 1, "{log}");
    assert_eq!(log.matches("Traces are exported again").count(), 1, "{log}");
    assert!(log.contains("refused") && log.contains("--tracing-endpoint http://127.0.0.1:4317"), "{log}");
}
