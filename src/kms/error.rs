//! The closed list of the ways in which a KMS operation fails.

use std::borrow::Cow;
use std::fmt;

/// The reason why an operation failed, one of the canonical codes of gRPC. Mapped once to gRPC (`grpc::error`) and once
/// to HTTP (`http::status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Code {
    /// The request can never succeed: its content is empty, too long, or not this plugin's.
    InvalidArgument = 3,
    /// The key version named by the caller, or in the configuration, does not exist.
    NotFound = 5,
    /// Key Vault refuses this identity (HTTP 403).
    PermissionDenied = 7,
    /// No usable token: Entra ID or Key Vault refuses the credential (HTTP 401).
    Unauthenticated = 16,
    /// A limit was reached: the queue here, or throttling by Key Vault (HTTP 429).
    ResourceExhausted = 8,
    /// Key Vault, Entra ID or IMDS cannot be reached, or answers 5xx.
    Unavailable = 14,
    /// The caller's deadline passed first.
    DeadlineExceeded = 4,
    /// The key is disabled, not yet valid or expired.
    FailedPrecondition = 9,
    /// A defect, here or in an answer of Key Vault.
    Internal = 13,
}

/// The side that caused a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The request itself: no other plugin could have served it.
    Request,
    /// The number of requests at once.
    Load,
    /// This plugin, Key Vault or Entra ID. Counts against health and in the alerts.
    Plugin,
}

/// The consequences of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meaning {
    /// Set when the same call may succeed later although no request or setting changes.
    pub is_retryable: bool,
    /// The side that caused it.
    pub blame: Blame,
    /// Set when Key Vault refuses until an operator changes something. Status must then not answer with a key_id, as
    /// nothing may be written that cannot be read.
    pub is_permanent: bool,
}

impl Code {
    /// All codes.
    pub(crate) const ALL: [Self; 9] = [
        Self::InvalidArgument,
        Self::NotFound,
        Self::PermissionDenied,
        Self::Unauthenticated,
        Self::ResourceExhausted,
        Self::Unavailable,
        Self::DeadlineExceeded,
        Self::FailedPrecondition,
        Self::Internal,
    ];

    /// Returns the code with that number of gRPC's; `None` for a code that this plugin does not use.
    pub(crate) fn from_grpc(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|code| *code as i32 == number)
    }

    /// Returns the consequences of the code for retries, blame and Status, which only this function decides.
    pub(crate) fn meaning(self) -> Meaning {
        use Blame::{Load, Plugin, Request};
        let (is_retryable, blame, is_permanent) = match self {
            Self::InvalidArgument => (false, Request, false),
            Self::ResourceExhausted => (true, Load, false),
            Self::Unavailable | Self::DeadlineExceeded => (true, Plugin, false),
            Self::Unauthenticated | Self::Internal => (false, Plugin, false),
            Self::NotFound | Self::PermissionDenied | Self::FailedPrecondition => (false, Plugin, true),
        };
        Meaning { is_retryable, blame, is_permanent }
    }

    /// Returns the code in the spelling of gRPC, for labels and logs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::NotFound => "NOT_FOUND",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::Unavailable => "UNAVAILABLE",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Internal => "INTERNAL",
        }
    }
}

/// The identifier of a kind of failure: equal for equal failures, although the counts and times in their messages differ.
/// Decides which failures are logged again ([`LogDedup`](crate::telemetry::LogDedup)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ErrorKind(Cow<'static, str>);

impl ErrorKind {
    /// Makes the kind of a failure with the error code that Azure gave for it, of letters, digits and `_` only.
    pub(crate) fn with_code(failure: &'static str, code: Option<&str>) -> Self {
        Self(code.map_or(Cow::Borrowed(failure), |code| Cow::Owned(format!("{failure}/{code}"))))
    }

    /// Returns the identifier.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&'static str> for ErrorKind {
    fn from(failure: &'static str) -> Self {
        Self(Cow::Borrowed(failure))
    }
}

impl From<String> for ErrorKind {
    fn from(failure: String) -> Self {
        Self(Cow::Owned(failure))
    }
}

/// A failed operation. Its message is shown verbatim to users of the Kubernetes API, so it never holds a URL, an
/// identity, a token, a body or a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KmsError {
    /// The reason, as gRPC's canonical code.
    pub code: Code,
    /// The identifier of the failure, for deduplication in the log.
    pub kind: ErrorKind,
    /// One sentence that says what to do, fit for a user of the Kubernetes API.
    pub message: Cow<'static, str>,
    /// The underlying error, for the log only: the message of the operating system or the TLS library. Never a secret.
    pub cause: Option<String>,
    /// The `x-ms-request-id` of the response with which Key Vault refused, for Azure's support.
    pub request_id: Option<String>,
}

impl KmsError {
    /// Makes an error of that code with that message. Its kind is the code.
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, kind: code.as_str().into(), message: message.into(), cause: None, request_id: None }
    }

    /// Sets its kind.
    pub(crate) fn of_kind(self, kind: impl Into<ErrorKind>) -> Self {
        Self { kind: kind.into(), ..self }
    }

    /// Sets the underlying error.
    pub(crate) fn caused_by(self, cause: Option<String>) -> Self {
        Self { cause, ..self }
    }

    /// Appends `, {detail}` to its message.
    pub(crate) fn with_detail(self, detail: &str) -> Self {
        let message = Cow::Owned(format!("{}, {detail}", self.message));
        Self { message, ..self }
    }

    /// Makes a [`Code::InvalidArgument`].
    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// Makes a [`Code::Internal`].
    pub(crate) fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Internal, message)
    }

    /// Makes a [`Code::DeadlineExceeded`] that names what the caller was waiting for.
    pub(crate) fn deadline(waiting_for: &str) -> Self {
        let message = format!("the deadline passed while waiting for {waiting_for}");
        Self::new(Code::DeadlineExceeded, message).of_kind(format!("deadline/{waiting_for}"))
    }
}

impl fmt::Display for KmsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for KmsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alert_on_failing_requests_counts_what_the_plugin_is_to_blame_for() {
        let rules = include_str!("../../manifests/alerts.yaml");
        let codes =
            rules.split_once("azure_kms_requests_total{code=~\"").and_then(|(_, rest)| rest.split_once('"'));
        let mut counted: Vec<&str> = codes.unwrap().0.split('|').collect();
        let blamed = Code::ALL.into_iter().filter(|code| code.meaning().blame == Blame::Plugin);
        let mut blamed: Vec<&str> = blamed.map(Code::as_str).collect();
        counted.sort_unstable();
        blamed.sort_unstable();
        assert_eq!(counted, blamed);
    }

    #[test]
    fn every_code_is_found_by_its_number() {
        for (at, code) in Code::ALL.into_iter().enumerate() {
            let place = match code {
                Code::InvalidArgument => 0,
                Code::NotFound => 1,
                Code::PermissionDenied => 2,
                Code::Unauthenticated => 3,
                Code::ResourceExhausted => 4,
                Code::Unavailable => 5,
                Code::DeadlineExceeded => 6,
                Code::FailedPrecondition => 7,
                Code::Internal => 8, // a code that is missing here is missing in `Code::ALL`
            };
            assert_eq!((at, Code::from_grpc(code as i32)), (place, Some(code)));
        }
        assert_eq!(Code::from_grpc(tonic::Code::Aborted as i32), None);
    }

    #[test]
    fn what_is_refused_for_good_is_not_worth_a_retry() {
        for code in Code::ALL {
            let Meaning { is_retryable, is_permanent, blame } = code.meaning();
            assert!(!(is_retryable && is_permanent), "{code:?}");
            assert!(!is_permanent || blame == Blame::Plugin, "{code:?}");
        }
    }
}
