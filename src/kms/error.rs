//! The one closed list of ways in which a KMS operation fails.

use std::borrow::Cow;
use std::fmt;

/// Why an operation failed. Mapped once to gRPC (`grpc::error`) and once to HTTP (`http::status`).
/// Follows the canonical codes of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Code {
    /// The caller sent what can never work: empty, too long, or not ours.
    InvalidArgument,
    /// The key version named by the caller, or in the configuration, does not exist.
    NotFound,
    /// Key Vault refuses this identity (HTTP 403).
    PermissionDenied,
    /// No usable token: Entra ID or Key Vault refuses the credential (HTTP 401).
    Unauthenticated,
    /// A limit was reached: the queue here, or throttling by Key Vault (HTTP 429).
    ResourceExhausted,
    /// Key Vault, Entra ID or IMDS cannot be reached, or answers 5xx.
    Unavailable,
    /// The caller's deadline passed first.
    DeadlineExceeded,
    /// The key is disabled, not yet valid or expired.
    FailedPrecondition,
    /// A defect, here or in an answer of Key Vault.
    Internal,
}

/// The side that a failure is blamed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The request itself: no other plugin could have served it.
    Request,
    /// The number of requests at once.
    Load,
    /// This plugin, Key Vault or Entra ID. Health is in question, and the alerts count it.
    Plugin,
}

/// What follows from a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meaning {
    /// Whether the same call may succeed later though nobody changes anything.
    pub is_retryable: bool,
    /// Who is to blame.
    pub blame: Blame,
    /// Whether Key Vault refuses for good, so that Status must not answer with a key_id: nothing may be written that
    /// could not be read.
    pub is_permanent: bool,
}

impl Code {
    /// All codes.
    #[cfg(test)]
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

    /// Returns what follows from the code for retries, blame and Status: the one place that decides it.
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

/// An identifier of what failed: equal for the same failure, whatever counts and times its message holds. Decides what
/// is logged again ([`LogDedup`](crate::telemetry::LogDedup)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ErrorKind(Cow<'static, str>);

impl ErrorKind {
    /// Makes the kind of a failure that an error code of Azure tells more about: letters, digits and `_` only.
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

/// A failed operation. The message is shown verbatim to users of the Kubernetes API,
/// so it never holds a URL, an identity, a token, a body or a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KmsError {
    /// What kind of failure.
    pub code: Code,
    /// What failed, for deduplication in the log.
    pub kind: ErrorKind,
    /// One sentence that says what to do, fit for an API user.
    pub message: Cow<'static, str>,
    /// What lies beneath, for the log only: the operating system's or the TLS library's words. Never a secret.
    pub cause: Option<String>,
    /// `x-ms-request-id` of the answer in which Key Vault refused, for Azure's support.
    pub request_id: Option<String>,
}

impl KmsError {
    /// Makes an error of that code with that message. Its kind is the code.
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, kind: code.as_str().into(), message: message.into(), cause: None, request_id: None }
    }

    /// Makes it an error of that kind.
    pub(crate) fn of_kind(self, kind: impl Into<ErrorKind>) -> Self {
        Self { kind: kind.into(), ..self }
    }

    /// Adds what lies beneath it.
    pub(crate) fn caused_by(self, cause: Option<String>) -> Self {
        Self { cause, ..self }
    }

    /// Adds to its sentence.
    pub(crate) fn with_detail(self, detail: &str) -> Self {
        let message = Cow::Owned(format!("{}, {detail}", self.message));
        Self { message, ..self }
    }

    /// Makes an [`Code::InvalidArgument`].
    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// Makes an [`Code::Internal`].
    pub(crate) fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Internal, message)
    }

    /// Makes a [`Code::DeadlineExceeded`] that says what was being waited for.
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
    fn what_is_refused_for_good_is_not_worth_a_retry() {
        for code in Code::ALL {
            let Meaning { is_retryable, is_permanent, blame } = code.meaning();
            assert!(!(is_retryable && is_permanent), "{code:?}");
            assert!(!is_permanent || blame == Blame::Plugin, "{code:?}");
        }
    }
}
