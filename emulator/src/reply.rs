//! Answers, and the errors of Key Vault as they were recorded.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::Value;

/// The largest request body.
const LARGEST_BODY: usize = 1024 * 1024;

/// The type of JSON answers.
pub(crate) const JSON: &str = "application/json; charset=utf-8";

/// A JSON answer.
pub(crate) fn json(status: u16, body: &Value) -> Response<Body> {
    text(status, JSON, body.to_string())
}

/// A page of HTML.
pub(crate) fn page(status: u16, title: &str) -> Response<Body> {
    let page = format!(
        "<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    );
    text(status, "text/html", page)
}

/// An answer of that type.
pub(crate) fn text(status: u16, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Reads a request's body; `None` when it is too large or breaks off.
pub(crate) async fn body(body: Body) -> Option<Vec<u8>> {
    axum::body::to_bytes(body, LARGEST_BODY).await.ok().map(Vec::from)
}

/// An error of Key Vault, in its own shape.
#[derive(Clone, Debug)]
pub(crate) struct VaultError {
    pub status: u16,
    pub code: &'static str,
    pub inner: Option<&'static str>,
    pub message: String,
}

impl VaultError {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, inner: None, message: message.into() }
    }

    pub(crate) fn forbidden(inner: &'static str, message: impl Into<String>) -> Self {
        Self { status: 403, code: "Forbidden", inner: Some(inner), message: message.into() }
    }

    pub(crate) fn bad_parameter(message: impl Into<String>) -> Self {
        Self::new(400, "BadParameter", message)
    }

    pub(crate) fn internal(error: crate::Error) -> Self {
        Self::new(500, "InternalServerError", error.0)
    }

    pub(crate) fn response(&self) -> Response<Body> {
        let innererror = self.inner.map(|code| InnerError { code });
        let error = ErrorBody { code: self.code, message: &self.message, innererror };
        let body = serde_json::to_string(&Errors { error }).unwrap_or_default(); // strings always can be
        text(self.status, JSON, body)
    }
}

/// The real service's order of members.
#[derive(Serialize)]
struct ErrorBody<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    innererror: Option<InnerError<'a>>,
}

#[derive(Serialize)]
struct InnerError<'a> {
    code: &'a str,
}

#[derive(Serialize)]
struct Errors<'a> {
    error: ErrorBody<'a>,
}
