//! The spans that are exported to OpenTelemetry: one for each request of a client, and a child for each attempt on Key
//! Vault.
//!
//! They are spans of `tracing`, so that they travel with a request as its log fields do. Names with a dot are
//! OpenTelemetry's. Without `--tracing-endpoint` a request's span serves only the log, and an attempt has none. No span
//! holds a plaintext, a key, a token, an identity or a URL.

mod export;

use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::Status;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracer;
use tonic::metadata::MetadataMap;
use tracing::level_filters::LevelFilter;
use tracing::{Span, Subscriber, error_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

pub(crate) use export::EndedSpans;
pub(super) use export::collect;

use super::{KeyOperation, KeyVaultCall};
use crate::kms::{Api, KmsError, Method};

/// The target of the span of a request, whose fields the log has too.
const REQUEST: &str = concat!(env!("CARGO_CRATE_NAME"), "::request");
/// The target of the span of an attempt, which the log does not have.
pub(super) const CALL: &str = concat!(env!("CARGO_CRATE_NAME"), "::key_vault_call");
/// The header with the client's span (W3C Trace Context §3.2).
const TRACEPARENT: &str = "traceparent";

/// Returns the layer that passes the spans of this file to `tracer`, but no events, and no spans of libraries.
pub(super) fn layer<S>(tracer: SdkTracer) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let ours = filter_fn(|metadata| metadata.is_span() && [REQUEST, CALL].contains(&metadata.target()))
        .with_max_level_hint(LevelFilter::ERROR);
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_context_activation(false)
        .with_tracked_inactivity(false)
        .with_location(false)
        .with_threads(false)
        .with_level(false)
        .with_target(false)
        .with_filter(ours)
}

/// Returns the span of a client's request, in the trace that its headers name.
pub(crate) fn request(api: Api, method: Method, uid: &str, headers: &MetadataMap) -> Span {
    let (operation, rpc, api) = (method.as_str(), rpc(api, method), api.as_str());
    let span = error_span!(
        target: REQUEST, "kms", operation, api, uid,
        otel.name = rpc, otel.kind = "server", rpc.system.name = "grpc", rpc.method = rpc,
    );
    if headers.contains_key(TRACEPARENT) {
        let parent = TraceContextPropagator::new().extract(&Parent(headers));
        let _ = span.set_parent(parent); // an error: no layer exports spans
    }
    span
}

/// Returns the span of a request of our own probes, which only the log has: metrics and the health report cover them.
pub(crate) fn probe(api: Api, method: Method, uid: &str) -> Span {
    error_span!("kms", operation = method.as_str(), api = api.as_str(), uid, probe = true)
}

/// Records the result of the request in its span.
pub(crate) fn request_ended(span: &Span, error: Option<&KmsError>) {
    span.set_attribute("rpc.response.status_code", error.map_or("OK", |error| error.code.as_str()));
    if let Some(error) = error {
        span.set_attribute("error.type", error.code.as_str());
        span.set_status(Status::error(error.message.clone()));
    }
}

/// Returns the span of one attempt on Key Vault, which is disabled for our own probes and warm-ups.
pub(super) fn key_vault_call(call: KeyVaultCall) -> Span {
    let name = match call.operation {
        KeyOperation::Encrypt => "KeyVault encrypt",
        KeyOperation::Decrypt => "KeyVault decrypt",
        KeyOperation::GetKey => "KeyVault get key",
    };
    let (attempt, hedge) = (i64::from(call.attempt), call.is_hedge);
    if call.is_probe {
        return Span::none();
    }
    error_span!(target: CALL, "call", otel.name = name, otel.kind = "client", attempt, hedge)
}

/// Records Key Vault's response in the current span, that of an attempt.
pub(crate) fn key_vault_answered(status: u16, request_id: Option<&str>) {
    let span = Span::current();
    span.set_attribute("http.response.status_code", i64::from(status));
    if let Some(request_id) = request_id {
        span.set_attribute("azure.service.request.id", request_id.to_owned());
    }
}

/// Records the result of the attempt in its span: that failure, or success.
pub(super) fn key_vault_call_ended(span: &Span, failure: Option<&'static str>) {
    if let Some(failure) = failure {
        span.set_attribute("error.type", failure);
        span.set_status(Status::error(failure));
    }
}

/// Records in the span that its attempt was abandoned, which is not a failure.
pub(super) fn key_vault_call_abandoned(span: &Span, reason: &'static str) {
    span.set_attribute("error.type", reason);
}

/// Returns the full name of the method.
fn rpc(api: Api, method: Method) -> &'static str {
    match (api, method) {
        (_, Method::Version) => "v1beta1.KeyManagementService/Version",
        (_, Method::Status) => "v2.KeyManagementService/Status",
        (Api::V1, Method::Encrypt) => "v1beta1.KeyManagementService/Encrypt",
        (Api::V1, Method::Decrypt) => "v1beta1.KeyManagementService/Decrypt",
        (Api::V2, Method::Encrypt) => "v2.KeyManagementService/Encrypt",
        (Api::V2, Method::Decrypt) => "v2.KeyManagementService/Decrypt",
    }
}

/// The headers of a client, of which only traceparent is read. Its tracestate may be long, and is not propagated.
struct Parent<'a>(&'a MetadataMap);

impl Extractor for Parent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then(|| self.0.get(key)?.to_str().ok()).flatten()
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

#[cfg(test)]
mod tests;
