//! The spans that are exported and their fields, and the log, which does not change.

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::Value;
use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::trace::SpanData;
use prometheus_client::metrics::counter::Counter;

use super::*;
use crate::config::{LogConfig, TracesConfig};
use crate::kms::Code;
use crate::telemetry::{Metrics, subscriber};

const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const NOT_SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// Held by tests of spans: whether a span is made depends on all subscribers of the process while its callsite is
/// registered.
static SUBSCRIBERS: Mutex<()> = Mutex::new(());

/// Returns the spans that ended in `work`, and the lines of the log.
fn traced(per_million: u32, work: impl FnOnce()) -> (Vec<SpanData>, String) {
    let _only = SUBSCRIBERS.lock().unwrap_or_else(PoisonError::into_inner);
    let config = TracesConfig { endpoint: "http://127.0.0.1:4317".parse().unwrap(), per_million };
    let (tracer, mut ended) = collect(&config, Counter::default());
    let log = Arc::new(Mutex::new(String::new()));
    let sink = log.clone();
    let write = move |line: &str| sink.lock().unwrap().push_str(line);
    let subscriber = subscriber(LogConfig { is_json: false, verbosity: 4 }, Some(tracer), write);
    tracing::subscriber::with_default(subscriber, work);
    let spans = std::iter::from_fn(|| ended.spans.try_recv().ok()).collect();
    let log = log.lock().unwrap().clone();
    (spans, log)
}

fn headers(traceparent: &str) -> MetadataMap {
    let mut headers = MetadataMap::new();
    headers.insert(TRACEPARENT, traceparent.parse().unwrap());
    headers
}

fn call(is_probe: bool) -> KeyVaultCall {
    KeyVaultCall { operation: KeyOperation::Decrypt, is_probe, attempt: 2, is_hedge: true }
}

fn value(span: &SpanData, name: &str) -> Option<Value> {
    let mut found = span.attributes.iter().filter(|attribute| attribute.key.as_str() == name);
    let value = found.next().map(|attribute| attribute.value.clone());
    assert!(found.next().is_none(), "{name} is there twice: {span:?}");
    value
}

fn request_with_a_refused_call() {
    let span = request(Api::V2, Method::Decrypt, "u1", &MetadataMap::new());
    span.in_scope(|| {
        let call = key_vault_call(call(false));
        call.in_scope(|| {
            key_vault_answered(403, Some("an-id"));
            tracing::warn!(attempt = 7, "Refused");
        });
        key_vault_call_ended(&call, Some("forbidden"));
    });
    request_ended(&span, Some(&KmsError::new(Code::PermissionDenied, "no right")));
}

#[test]
fn an_attempt_is_a_child_of_its_request_and_both_say_what_failed() {
    let (spans, _) = traced(1_000_000, request_with_a_refused_call);
    let [call, request] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!(
        (request.name.as_ref(), call.name.as_ref()),
        ("v2.KeyManagementService/Decrypt", "KeyVault decrypt")
    );
    assert_eq!((&request.span_kind, &call.span_kind), (&SpanKind::Server, &SpanKind::Client));
    assert_eq!(call.parent_span_id, request.span_context.span_id());
    assert_eq!(call.span_context.trace_id(), request.span_context.trace_id());
    for (name, expected) in [
        ("uid", "u1"),
        ("api", "v2"),
        ("rpc.method", "v2.KeyManagementService/Decrypt"),
        ("rpc.response.status_code", "PERMISSION_DENIED"),
        ("error.type", "PERMISSION_DENIED"),
    ] {
        assert_eq!(value(request, name), Some(expected.into()), "{name}");
    }
    assert_eq!(request.status, Status::error("no right"));
    assert_eq!(value(call, "http.response.status_code"), Some(403.into()));
    assert_eq!(value(call, "azure.service.request.id"), Some("an-id".into()));
    assert_eq!((value(call, "attempt"), value(call, "hedge")), (Some(2.into()), Some(true.into())));
    assert_eq!(call.status, Status::error("forbidden"));
}

#[test]
fn an_attempt_that_nobody_waits_for_is_abandoned_and_no_error() {
    let (spans, _) = traced(1_000_000, || {
        let span = request(Api::V2, Method::Decrypt, "u1", &MetadataMap::new());
        span.in_scope(|| drop(Metrics::new().key_vault_call(call(false))));
    });
    assert_eq!(value(&spans[0], "error.type"), Some("abandoned".into()));
    assert_eq!((&spans[0].status, value(&spans[0], "http.response.status_code")), (&Status::Unset, None));
}

#[test]
fn the_log_is_the_same_with_traces() {
    let (_, log) = traced(1_000_000, request_with_a_refused_call);
    let (_, line) = log.split_once("] ").unwrap();
    assert_eq!(line, "\"Refused\" attempt=7 operation=\"decrypt\" api=\"v2\" uid=\"u1\"\n");
}

#[test]
fn our_own_probes_and_the_spans_of_libraries_are_not_exported() {
    let (spans, _) = traced(1_000_000, || {
        let probe = probe(Api::V2, Method::Encrypt, "v2-1");
        probe.in_scope(|| key_vault_call(call(true)).in_scope(|| key_vault_answered(200, Some("an-id"))));
        request_ended(&probe, None);
        error_span!(target: "h2", "send").in_scope(|| error_span!("ours").in_scope(|| {}));
    });
    assert!(spans.is_empty(), "{spans:?}");
}

#[test]
fn the_caller_s_trace_goes_on_if_it_is_sampled() {
    for (rate, header, exported) in
        [(0, Some(SAMPLED), 1), (1_000_000, Some(NOT_SAMPLED), 0), (0, None, 0), (1_000_000, None, 1)]
    {
        let (spans, _) = traced(rate, || {
            let headers = header.map(headers).unwrap_or_default();
            request_ended(&request(Api::V1, Method::Encrypt, "v1-1", &headers), None);
        });
        assert_eq!(spans.len(), exported, "{rate} {header:?}");
        for span in spans.iter().filter(|_| header.is_some()) {
            assert_eq!(span.span_context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
            assert_eq!(span.parent_span_id.to_string(), "b7ad6b7169203331");
        }
    }
}

#[test]
fn a_traceparent_that_is_none_begins_a_new_trace() {
    for bad in ["", "00", "00-0-0-01", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x"] {
        let (spans, _) = traced(1_000_000, || drop(request(Api::V1, Method::Encrypt, "v1-1", &headers(bad))));
        assert_eq!(spans.len(), 1, "{bad}");
        assert_eq!(spans[0].parent_span_id, opentelemetry::trace::SpanId::INVALID, "{bad}");
    }
}

#[test]
fn what_nobody_listens_to_has_no_span() {
    let _only = SUBSCRIBERS.lock().unwrap_or_else(PoisonError::into_inner);
    let log = subscriber(LogConfig { is_json: false, verbosity: 10 }, None, |_| {});
    tracing::subscriber::with_default(log, || {
        assert!(key_vault_call(call(false)).is_disabled());
        assert!(!request(Api::V2, Method::Encrypt, "u1", &headers(SAMPLED)).is_disabled());
    });
}
