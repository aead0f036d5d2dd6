//! Answers, and the errors of Key Vault as they were recorded.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

/// The largest request body.
const LARGEST_BODY: usize = 1024 * 1024;

/// A JSON answer.
pub(crate) fn json(status: u16, body: &Value) -> Response<Body> {
    text(status, "application/json; charset=utf-8", body.to_string())
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

    pub(crate) fn response(&self) -> Response<Body> {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(inner) = self.inner {
            error["innererror"] = json!({ "code": inner });
        }
        json(self.status, &json!({ "error": error }))
    }
}
