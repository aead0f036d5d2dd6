//! The classification of failed calls to Key Vault.

use std::time::{Duration, SystemTime};

use azure_core::error::ErrorKind;
use azure_core::http::RawResponse;
use azure_core::http::headers::Headers;

use super::response::{REQUEST_ID, header};
use crate::azure::cause::{find_cause, network_cause};
use crate::azure::published_credential::Refusal;
use crate::telemetry::traces;
use crate::vault::{Failure, VaultError};

/// Classifies an error of the SDK. Parses the body of the response itself, as the SDK's parser fails on escapes in it.
pub(super) fn classify(error: azure_core::Error) -> VaultError {
    match error.kind() {
        ErrorKind::HttpResponse { status, raw_response, .. } => {
            with_response(u16::from(*status), raw_response.as_deref())
        }
        ErrorKind::Connection | ErrorKind::Io => without_response(Failure::Unreachable, &error),
        _ => match find_cause(&error) {
            Some(Refusal::NoToken) => VaultError::without_answer(Failure::NoToken),
            Some(Refusal::OtherResource) => VaultError::without_answer(Failure::WrongResource),
            // checked by the SDK before it asks for a token; the error has no kind of its own
            None if error.to_string().contains("doesn't match the requested domain") => {
                VaultError::without_answer(Failure::WrongResource)
            }
            None => without_response(Failure::Malformed, &error),
        },
    }
}

/// Makes the error of a call without a response. Only a network error is logged with its message: that of another may hold
/// parts of a response.
fn without_response(failure: Failure, error: &azure_core::Error) -> VaultError {
    let cause = network_cause(error).unwrap_or_else(|| error.kind().to_string());
    VaultError { cause: Some(cause), ..VaultError::without_answer(failure) }
}

fn with_response(status: u16, response: Option<&RawResponse>) -> VaultError {
    let code = response.and_then(|response| error_code(response.body()));
    let retry_after = response.and_then(|response| retry_after(response.headers()));
    let request_id = response.and_then(|response| header(response.headers(), REQUEST_ID));
    traces::key_vault_answered(status, request_id.as_deref());
    let failure = failure(status, code.as_deref());
    VaultError { status: Some(status), code, retry_after, request_id, ..VaultError::without_answer(failure) }
}

fn failure(status: u16, code: Option<&str>) -> Failure {
    match (status, code) {
        (400, _) => Failure::BadRequest,
        (401, _) => Failure::Unauthorized,
        (403, Some("KeyDisabled" | "KeyNotYetValid" | "KeyExpired")) => Failure::KeyUnusable,
        (403, Some("KeyOperationForbidden")) => Failure::OperationNotAllowed,
        (403, _) => Failure::Forbidden,
        (404, _) => Failure::NotFound,
        (429, _) => Failure::Throttled,
        (408 | 500.., _) => Failure::ServerError,
        _ => Failure::Unexpected,
    }
}

/// Returns `error.innererror.code`, or else `error.code`, of Key Vault's error body, if it has only letters and digits.
fn error_code(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let code = body.pointer("/error/innererror/code").or_else(|| body.pointer("/error/code"))?.as_str()?;
    let is_plain = (1..=64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_plain.then(|| code.to_owned())
}

/// The longest time to wait that is taken from a response.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Returns the time to wait from `Retry-After`, in seconds or as a date (RFC 9110 §10.2.3), or from Azure's variants in
/// milliseconds.
fn retry_after(headers: &Headers) -> Option<Duration> {
    requested_wait(headers).map(|wait| wait.min(LONGEST_WAIT))
}

fn requested_wait(headers: &Headers) -> Option<Duration> {
    let header = |name| header(headers, name);
    let milliseconds = header("x-ms-retry-after-ms").or_else(|| header("retry-after-ms"));
    if let Some(milliseconds) = milliseconds.and_then(|value| value.parse().ok()) {
        return Some(Duration::from_millis(milliseconds));
    }
    let value = header("retry-after")?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at: SystemTime = azure_core::time::parse_rfc7231(&value).ok()?.into();
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use azure_core::http::StatusCode;

    use super::*;

    fn error(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> VaultError {
        let mut all = Headers::new();
        for (name, value) in headers {
            all.insert(*name, *value);
        }
        with_response(status, Some(&RawResponse::from_bytes(StatusCode::from(status), all, body)))
    }

    #[test]
    fn an_rbac_refusal_with_escapes_in_its_body_is_understood_and_not_repeated() {
        let body = r#"{"error":{"code":"Forbidden","message":"Caller: appid=1;oid=2\r\n","innererror":{"code":"ForbiddenByRbac"}}}"#;
        let error = error(403, &[], body);
        assert_eq!((error.failure, error.code.as_deref()), (Failure::Forbidden, Some("ForbiddenByRbac")));
        assert!(!error.to_string().contains("appid"));
    }

    #[test]
    fn a_disabled_key_is_told_apart_from_a_missing_right() {
        let body = r#"{"error":{"code":"Forbidden","message":"x","innererror":{"code":"KeyDisabled"}}}"#;
        assert_eq!(error(403, &[], body).failure, Failure::KeyUnusable);
    }

    #[test]
    fn an_operation_that_the_key_does_not_allow_is_not_the_identity_s_fault() {
        let body =
            r#"{"error":{"code":"Forbidden","message":"x","innererror":{"code":"KeyOperationForbidden"}}}"#;
        let error = error(403, &[], body);
        assert_eq!(error.failure, Failure::OperationNotAllowed);
        let message = error.to_string();
        assert!(message.contains("key_ops") && !message.contains("identity"), "{message}");
    }

    #[test]
    fn a_refusal_has_its_request_id() {
        let refused = error(403, &[("x-ms-request-id", "1f")], "");
        assert_eq!(refused.request_id.as_deref(), Some("1f"));
        assert_eq!(error(403, &[], "").request_id, None);
    }

    #[test]
    fn html_and_odd_codes_are_not_shown() {
        assert_eq!(error(502, &[], "<html>").code, None);
        assert_eq!(error(400, &[], r#"{"error":{"code":"https://tenant/x"}}"#).code, None);
    }

    #[test]
    fn retry_after_is_read_in_every_form() {
        for (name, value, seconds) in
            [("retry-after", "7", 7), ("retry-after-ms", "2000", 2), ("x-ms-retry-after-ms", "3000", 3)]
        {
            assert_eq!(error(429, &[(name, value)], "").retry_after, Some(Duration::from_secs(seconds)));
        }
        let past = error(429, &[("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")], "");
        assert_eq!(past.retry_after, Some(Duration::ZERO));
        assert_eq!(error(429, &[], "").retry_after, None);
        let endless = error(429, &[("retry-after", "18446744073709551615")], "");
        assert_eq!(endless.retry_after, Some(LONGEST_WAIT));
    }
}
