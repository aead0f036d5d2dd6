//! What Entra ID says when it refuses, line breaks included.

use axum::body::Body;
use axum::http::{HeaderValue, Response};
use serde_json::json;

use crate::ids::random_guid;
use crate::reply;

/// A refused request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) error: &'static str,
    pub(super) code: u64,
    pub(super) text: String,
}

impl Refusal {
    pub(super) fn new(status: u16, error: &'static str, code: u64, text: impl Into<String>) -> Self {
        Self { status, error, code, text: text.into() }
    }

    /// The request is not what it has to be.
    pub(super) fn request(code: u64, text: impl Into<String>) -> Self {
        Self::new(400, "invalid_request", code, text)
    }

    /// The client does not prove who it is.
    pub(super) fn client(code: u64, text: impl Into<String>) -> Self {
        Self::new(401, "invalid_client", code, text)
    }

    /// The answer of the Entra ID with that host.
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
        with_id(reply::json(*status, &body), &trace)
    }
}

fn with_id(mut response: Response<Body>, trace: &str) -> Response<Body> {
    if let Ok(id) = HeaderValue::from_str(trace) {
        response.headers_mut().insert("x-ms-request-id", id);
    }
    response
}
