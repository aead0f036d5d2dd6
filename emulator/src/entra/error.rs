//! Errors of Entra ID: OAuth 2.0 error responses (RFC 6749, section 5.2) with AADSTS codes, line breaks included.

use axum::body::Body;
use axum::http::{HeaderValue, Response};
use serde_json::json;

use crate::ids::random_guid;
use crate::response;

/// An error response of Entra ID.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EntraError {
    /// The HTTP status.
    pub(super) status: u16,
    /// The OAuth 2.0 error code, such as `invalid_client`.
    pub(super) error: &'static str,
    /// The number after `AADSTS`.
    pub(super) code: u64,
    /// The text after `AADSTS{code}: `.
    pub(super) text: String,
}

impl EntraError {
    /// Returns an error of those parts.
    pub(super) fn new(status: u16, error: &'static str, code: u64, text: impl Into<String>) -> Self {
        Self { status, error, code, text: text.into() }
    }

    /// Returns a 400 `invalid_request`.
    pub(super) fn invalid_request(code: u64, text: impl Into<String>) -> Self {
        Self::new(400, "invalid_request", code, text)
    }

    /// Returns a 401 `invalid_client`: the client is not authenticated.
    pub(super) fn invalid_client(code: u64, text: impl Into<String>) -> Self {
        Self::new(401, "invalid_client", code, text)
    }

    /// Returns the response of the Entra ID with that host.
    pub(super) fn response(&self, host: &str) -> Response<Body> {
        let Self { status, error, code, text } = self;
        let (trace, correlation) = (random_guid().unwrap_or_default(), random_guid().unwrap_or_default());
        let time = chrono::Utc::now().format("%Y-%m-%d %H:%M:%SZ").to_string();
        let description = format!(
            "AADSTS{code}: {text}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {time}"
        );
        let body = json!({
            "error": error,
            "error_description": description,
            "error_codes": [code],
            "timestamp": time,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("https://{host}/error?code={code}"),
        });
        with_request_id(response::json(*status, &body), &trace)
    }
}

/// Sets the `x-ms-request-id`, which is the trace ID.
fn with_request_id(mut response: Response<Body>, trace: &str) -> Response<Body> {
    if let Ok(id) = HeaderValue::from_str(trace) {
        response.headers_mut().insert("x-ms-request-id", id);
    }
    response
}
