//! The spans that OpenTelemetry gets: one for each request of a client, and in it one for each attempt on Key Vault.
//!
//! They are spans of `tracing`, so that they travel with a request as its log fields do. Names with a dot are
//! OpenTelemetry's. Without `--tracing-endpoint` nobody listens: a request's span serves the log alone, and an
//! attempt has none. No span holds a plaintext, a key, a token, an identity or a URL.

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

/// The target of a request's span. The log has its fields too.
const REQUEST: &str = concat!(env!("CARGO_CRATE_NAME"), "::request");
/// The target of an attempt's span, which the log does not know.
pub(super) const CALL: &str = concat!(env!("CARGO_CRATE_NAME"), "::key_vault_call");
/// W3C's header that names the caller's span.
const TRACEPARENT: &str = "traceparent";

/// Gives the spans of this file to `tracer`, and nothing else: neither events, nor what libraries trace.
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

/// The span of a client's request, in the trace that its headers name.
pub(crate) fn request(api: Api, method: Method, uid: &str, headers: &MetadataMap) -> Span {
    let (operation, rpc, api) = (method.as_str(), rpc(api, method), api.as_str());
    let span = error_span!(
        target: REQUEST, "kms", operation, api, uid,
        otel.name = rpc, otel.kind = "server", rpc.system.name = "grpc", rpc.method = rpc,
    );
    if headers.contains_key(TRACEPARENT) {
        let parent = TraceContextPropagator::new().extract(&Parent(headers));
        let _ = span.set_parent(parent); // an error: nobody listens
    }
    span
}

/// The span of a request of our own probes, for the log alone: metrics and the health report tell of them.
pub(crate) fn probe(api: Api, method: Method, uid: &str) -> Span {
    error_span!("kms", operation = method.as_str(), api = api.as_str(), uid, probe = true)
}

/// The request of that span was answered.
pub(crate) fn answered(span: &Span, error: Option<&KmsError>) {
    span.set_attribute("rpc.response.status_code", error.map_or("OK", |error| error.code.as_str()));
    if let Some(error) = error {
        span.set_attribute("error.type", error.code.as_str());
        span.set_status(Status::error(error.message.clone()));
    }
}

/// The span of one attempt on Key Vault. Those of our own probes and warm-ups have none.
pub(super) fn key_vault_call(call: KeyVaultCall) -> Span {
    let name = match call.operation {
        KeyOperation::Encrypt => "KeyVault encrypt",
        KeyOperation::Decrypt => "KeyVault decrypt",
        KeyOperation::GetKey => "KeyVault get key",
    };
    let (attempt, hedge) = (i64::from(call.attempt), call.hedge);
    if call.is_probe {
        return Span::none();
    }
    error_span!(target: CALL, "call", otel.name = name, otel.kind = "client", attempt, hedge)
}

/// Key Vault answered the attempt that runs here.
pub(crate) fn key_vault_answered(status: u16, request_id: Option<&str>) {
    let span = Span::current();
    span.set_attribute("http.response.status_code", i64::from(status));
    if let Some(request_id) = request_id {
        span.set_attribute("azure.service.request.id", request_id.to_owned());
    }
}

/// The attempt of that span ended: with that failure, or with success.
pub(super) fn key_vault_call_ended(span: &Span, failure: Option<&'static str>) {
    if let Some(failure) = failure {
        span.set_attribute("error.type", failure);
        span.set_status(Status::error(failure));
    }
}

/// Nobody waited for the end of that span's attempt, which is no failure of it.
pub(super) fn key_vault_call_abandoned(span: &Span, why: &'static str) {
    span.set_attribute("error.type", why);
}

/// The full name of the method.
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

/// The one header of a caller that is read. Its tracestate is not: nobody is called on from here, and it may be long.
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
