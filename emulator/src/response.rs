//! Responses, and the errors of Key Vault as they were recorded.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::Value;

/// The largest request body, in bytes.
const MAX_BODY: usize = 1024 * 1024;

/// The `Content-Type` of JSON.
pub(crate) const JSON: &str = "application/json; charset=utf-8";

/// Returns a response with JSON.
pub(crate) fn json(status: u16, body: &Value) -> Response<Body> {
    text(status, JSON, body.to_string())
}

/// Returns a response with an HTML page that shows the title.
pub(crate) fn page(status: u16, title: &str) -> Response<Body> {
    let page = format!(
        "<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    );
    text(status, "text/html", page)
}

/// Returns a response with a body of that `Content-Type`.
pub(crate) fn text(status: u16, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Reads a whole body; `None` when it is larger than 1 MiB or breaks off.
pub(crate) async fn read_body(body: Body) -> Option<Vec<u8>> {
    axum::body::to_bytes(body, MAX_BODY).await.ok().map(Vec::from)
}

/// An error of Key Vault (`KeyVaultError` of its API reference).
#[derive(Clone, Debug)]
pub(crate) struct VaultError {
    /// The HTTP status.
    pub status: u16,
    /// The code, such as `Forbidden`.
    pub code: &'static str,
    /// The code of the inner error, such as `ForbiddenByRbac`.
    pub inner: Option<&'static str>,
    /// The message, with the line breaks of the real service.
    pub message: String,
}

impl VaultError {
    /// Returns an error without an inner one.
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, inner: None, message: message.into() }
    }

    /// Returns a 403 `Forbidden` with that inner code.
    pub(crate) fn forbidden(inner: &'static str, message: impl Into<String>) -> Self {
        Self { status: 403, code: "Forbidden", inner: Some(inner), message: message.into() }
    }

    /// Returns a 400 `BadParameter`.
    pub(crate) fn bad_parameter(message: impl Into<String>) -> Self {
        Self::new(400, "BadParameter", message)
    }

    /// Returns a 500 for a failure of the emulator itself.
    pub(crate) fn internal(error: crate::error::Error) -> Self {
        Self::new(500, "InternalServerError", error.0)
    }

    /// Returns the response with its JSON.
    pub(crate) fn response(&self) -> Response<Body> {
        let innererror = self.inner.map(|code| InnerError { code });
        let error = ErrorBody { code: self.code, message: &self.message, innererror };
        let body = serde_json::to_string(&ErrorEnvelope { error }).unwrap_or_default(); // strings always can be
        text(self.status, JSON, body)
    }
}

/// The error in JSON, its members in the real service's order.
#[derive(Serialize)]
struct ErrorBody<'a> {
    /// The code.
    code: &'a str,
    /// The message.
    message: &'a str,
    /// The inner error, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    innererror: Option<InnerError<'a>>,
}

/// The inner error in JSON.
#[derive(Serialize)]
struct InnerError<'a> {
    /// The code.
    code: &'a str,
}

/// The JSON of a response with an error.
#[derive(Serialize)]
struct ErrorEnvelope<'a> {
    /// The error.
    error: ErrorBody<'a>,
}
