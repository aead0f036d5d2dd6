//! The only mapping from our errors to HTTP.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::router::plain;
use crate::kms::{Code, KmsError};

impl IntoResponse for KmsError {
    fn into_response(self) -> Response {
        plain(http_status(self.code), format!("{}\n", self.message))
    }
}

/// Maps a code as gRPC itself does (google.rpc.Code).
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::InvalidArgument | Code::FailedPrecondition => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
