//! The one closed list of ways in which a KMS operation fails.

use std::borrow::Cow;
use std::fmt;

/// Why an operation failed. Mapped once to gRPC (`grpc::status`) and once to HTTP (`http::status`).
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

impl Code {
    /// Whether the cause lies behind the caller: in this plugin, Key Vault or Entra ID, and not in what was asked, or
    /// in how much was asked at once.
    pub(crate) fn is_ours(self) -> bool {
        !matches!(self, Self::InvalidArgument | Self::ResourceExhausted)
    }

    /// Whether the same may succeed later, without a change by anybody.
    pub(crate) fn may_pass(self) -> bool {
        matches!(self, Self::Unavailable | Self::DeadlineExceeded | Self::ResourceExhausted)
    }

    /// The code in the spelling of gRPC, for labels and logs.
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

/// A failed operation. The message is shown verbatim to users of the Kubernetes API,
/// so it never holds a URL, an identity, a token, a body or a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KmsError {
    /// What kind of failure.
    pub code: Code,
    /// One sentence that says what to do, fit for an API user.
    pub message: Cow<'static, str>,
    /// What lies beneath, for the log only: the operating system's or the TLS library's words. Never a secret.
    pub cause: Option<String>,
    /// `x-ms-request-id` of the answer in which Key Vault refused, for Azure's support.
    pub request_id: Option<String>,
}

impl KmsError {
    /// An error of that code with that message.
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), cause: None, request_id: None }
    }

    /// The same error with what lies beneath it.
    pub(crate) fn caused_by(self, cause: Option<String>) -> Self {
        Self { cause, ..self }
    }

    /// The same error with more to its sentence.
    pub(crate) fn with_detail(self, detail: &str) -> Self {
        let message = Cow::Owned(format!("{}, {detail}", self.message));
        Self { message, ..self }
    }

    /// An [`Code::InvalidArgument`].
    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// An [`Code::Internal`].
    pub(crate) fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Internal, message)
    }

    /// A [`Code::DeadlineExceeded`] that says what was being waited for.
    pub(crate) fn deadline(waiting_for: &str) -> Self {
        Self::new(Code::DeadlineExceeded, format!("the deadline passed while waiting for {waiting_for}"))
    }
}

impl fmt::Display for KmsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for KmsError {}
