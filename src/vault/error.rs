//! The failures of a call to Key Vault.

use std::fmt;
use std::time::Duration;

use crate::kms::{Code, ErrorKind, KmsError};

/// A kind of failure. Kinds differ in how the plugin or an operator can react.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Failure {
    /// 401: Key Vault does not accept the token.
    Unauthorized,
    /// 403 for lack of a permission, a role or a firewall rule.
    Forbidden,
    /// 403 because the key is disabled, not yet valid or expired.
    KeyUnusable,
    /// 403 because the key's own `key_ops` do not name the operation, whoever asks.
    OperationNotAllowed,
    /// 404: no such key version.
    NotFound,
    /// 400: the value does not fit the key and algorithm.
    BadRequest,
    /// 429: a limit of Key Vault is reached.
    Throttled,
    /// 408 and 5xx: Key Vault fails.
    ServerError,
    /// No response: DNS, TCP or TLS failed, or the connection broke.
    Unreachable,
    /// No response before the deadline.
    TimedOut,
    /// A response that cannot be parsed: HTML from a gateway, a truncated body.
    Malformed,
    /// A status that the API does not document: a redirect, 405, 413.
    Unexpected,
    /// A response of another key version than the requested one.
    WrongKey,
    /// The token expired or was rejected after the call had begun; a refresh is under way.
    NoToken,
    /// Key Vault's challenge asks for a token of another resource.
    WrongResource,
}

/// The time of another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// It would fail as well.
    Never,
    /// As soon as there is another token.
    WithNewToken,
    /// As soon as the throttle lets a call pass.
    AfterThrottle,
    /// After a pause that grows with each attempt, or after `Retry-After`.
    AfterBackoff,
}

/// The evidence that a failure is of Key Vault's availability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Availability {
    /// Key Vault responded, even if it refused.
    Up,
    /// Key Vault does not serve.
    Down,
    /// None.
    Unknown,
}

impl Failure {
    /// Returns the value of metric labels.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::KeyUnusable => "key_unusable",
            Self::OperationNotAllowed => "operation_not_allowed",
            Self::NotFound => "not_found",
            Self::BadRequest => "bad_request",
            Self::Throttled => "throttled",
            Self::ServerError => "server_error",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Malformed => "malformed",
            Self::Unexpected => "unexpected",
            Self::WrongKey => "wrong_key",
            Self::NoToken => "no_token",
            Self::WrongResource => "wrong_resource",
        }
    }

    /// Returns when another attempt may succeed. All operations of [`Vault`](super::Vault) are idempotent.
    pub(super) fn retry(self) -> Retry {
        match self {
            Self::Unauthorized | Self::NoToken => Retry::WithNewToken,
            Self::Throttled => Retry::AfterThrottle,
            Self::ServerError | Self::Unreachable | Self::Malformed => Retry::AfterBackoff,
            Self::TimedOut // the deadline has passed
            | Self::Forbidden
            | Self::KeyUnusable
            | Self::OperationNotAllowed
            | Self::NotFound
            | Self::BadRequest
            | Self::Unexpected
            | Self::WrongKey
            | Self::WrongResource => Retry::Never,
        }
    }

    /// Returns the evidence that it is of Key Vault being up or down, for the circuit breaker.
    pub(super) fn availability(self) -> Availability {
        match self {
            Self::ServerError | Self::Unreachable | Self::TimedOut => Availability::Down,
            // detected in this process, or sent by a gateway
            Self::NoToken | Self::WrongResource | Self::Malformed => Availability::Unknown,
            Self::Unauthorized
            | Self::Forbidden
            | Self::KeyUnusable
            | Self::OperationNotAllowed
            | Self::NotFound
            | Self::BadRequest
            | Self::Throttled
            | Self::Unexpected
            | Self::WrongKey => Availability::Up,
        }
    }

    /// Returns the code that a client gets.
    pub(super) fn code(self) -> Code {
        match self {
            Self::Unauthorized | Self::NoToken | Self::WrongResource => Code::Unauthenticated,
            Self::Forbidden => Code::PermissionDenied,
            Self::KeyUnusable | Self::OperationNotAllowed | Self::WrongKey => Code::FailedPrecondition,
            Self::NotFound => Code::NotFound,
            Self::BadRequest => Code::InvalidArgument,
            Self::Throttled => Code::ResourceExhausted,
            Self::ServerError | Self::Unreachable => Code::Unavailable,
            Self::TimedOut => Code::DeadlineExceeded,
            Self::Malformed | Self::Unexpected => Code::Internal,
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Unauthorized => "Key Vault does not accept the plugin's token",
            Self::Forbidden => "Key Vault refuses the plugin's identity this operation on the key",
            Self::KeyUnusable => "the key version is disabled, not yet valid or expired",
            Self::OperationNotAllowed => "the key does not allow this operation",
            Self::NotFound => "the key version does not exist in Key Vault",
            Self::BadRequest => "Key Vault refuses the value: it does not fit this key and algorithm",
            Self::Throttled => "throttled by Key Vault",
            Self::ServerError => "Key Vault answers with a server error",
            Self::Unreachable => "Key Vault cannot be reached",
            Self::TimedOut => "Key Vault does not answer",
            Self::Malformed => "Key Vault's answer could not be understood",
            Self::Unexpected => "Key Vault answers with a status that its API does not have",
            Self::WrongKey => {
                "Key Vault names another key than the one asked for; check the letter case of the key's name"
            }
            Self::NoToken => "no token for Key Vault",
            Self::WrongResource => "Key Vault asks for a token of another resource",
        }
    }
}

/// A failed call. Holds nothing of the response's body but its error code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VaultError {
    /// The kind of failure.
    pub failure: Failure,
    /// The HTTP status, when there was a response.
    pub status: Option<u16>,
    /// Key Vault's error code (`ForbiddenByRbac`, `KeyNotFound`, …), letters and digits only.
    pub code: Option<String>,
    /// The time for which Key Vault asks to wait (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// The underlying error of a failure without a response, for the log only.
    pub cause: Option<String>,
    /// The response's `x-ms-request-id`.
    pub request_id: Option<String>,
}

impl VaultError {
    /// Makes the error of a failure without a response.
    pub(crate) fn without_answer(failure: Failure) -> Self {
        Self { failure, status: None, code: None, retry_after: None, cause: None, request_id: None }
    }

    /// Makes the error of a response that cannot be used.
    pub(crate) fn of_answer(failure: Failure, request_id: &str) -> Self {
        let request_id = Some(request_id.to_owned()).filter(|id| !id.is_empty());
        Self { request_id, ..Self::without_answer(failure) }
    }
}

/// Error codes of Key Vault and their meaning for this plugin, as the end of a sentence. Each code has a heading in
/// docs/troubleshooting.md.
const HINTS: [(&str, &str); 4] = [
    ("ForbiddenByRbac", "it has no role on the key that allows it"),
    ("AccessDenied", "it has no access policy on the vault that allows it"),
    ("ForbiddenByFirewall", "the vault's firewall does not let this machine in"),
    ("KeyOperationForbidden", "its key_ops do not name it"),
];

fn hint(code: &str) -> String {
    let hint = HINTS.iter().find(|(known, _)| *known == code);
    let anchor = code.to_ascii_lowercase();
    hint.map(|(_, hint)| format!(": {hint}; see docs/troubleshooting.md#{anchor}")).unwrap_or_default()
}

impl fmt::Display for VaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.failure.sentence())?;
        match (self.status, &self.code) {
            (Some(status), Some(code)) => write!(f, " (HTTP {status}, {code}){}", hint(code)),
            (Some(status), None) => write!(f, " (HTTP {status})"),
            (None, _) => Ok(()),
        }
    }
}

impl VaultError {
    /// Returns the message with the underlying error, for the log.
    pub(crate) fn with_cause(&self) -> String {
        let cause = self.cause.as_ref().map(|cause| format!(": {cause}"));
        format!("{self}{}", cause.unwrap_or_default())
    }
}

impl From<VaultError> for KmsError {
    fn from(error: VaultError) -> Self {
        let kind = ErrorKind::with_code(error.failure.as_str(), error.code.as_deref());
        let explained =
            Self::new(error.failure.code(), error.to_string()).of_kind(kind).caused_by(error.cause);
        Self { request_id: error.request_id, ..explained }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_times_do_not_make_another_kind_and_all_else_does() {
        let kind = |failure, status, code: &str| {
            let code = Some(code.to_owned()).filter(|code| !code.is_empty());
            KmsError::from(VaultError { status: Some(status), code, ..VaultError::without_answer(failure) })
                .kind
        };
        let silent = KmsError::from(VaultError::without_answer(Failure::TimedOut));
        assert_eq!(silent.clone().with_detail("3 attempts in 2.4 s").kind, silent.kind);
        assert_eq!(kind(Failure::ServerError, 500, ""), kind(Failure::ServerError, 503, ""));
        assert_ne!(
            kind(Failure::Forbidden, 403, "ForbiddenByRbac"),
            kind(Failure::Forbidden, 403, "ForbiddenByFirewall")
        );
        assert_ne!(kind(Failure::ServerError, 500, ""), silent.kind);
    }

    #[test]
    fn every_hint_has_its_anchor_in_the_troubleshooting_page() {
        let page = include_str!("../../docs/troubleshooting.md");
        for (code, _) in HINTS {
            assert!(page.contains(&format!("\n### {code}\n")), "{code}");
        }
    }
}
