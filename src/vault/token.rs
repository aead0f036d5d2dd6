//! The published Entra token: written by the `TokenActor`, read by the call engine and the SDK's credential.
//!
//! In the other direction, the serial number of the newest rejected token is shared, so that no rejection is lost while
//! the actor restarts.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use crate::kms::{Code, ErrorKind, KmsError};

/// An access token for Key Vault (OAuth 2.0 bearer token).
#[derive(Clone)]
pub(crate) struct Token {
    /// The number of the token in this process, counted from 1.
    pub serial: u64,
    /// The time at which it was received, on the monotonic clock.
    pub obtained: Instant,
    /// The time at which it expires, on the monotonic clock.
    pub expires: Instant,
    /// The time at which it expires, on the wall clock: for the SDK and for metrics.
    pub expires_on: SystemTime,
    value: Arc<Zeroizing<String>>,
}

impl Token {
    /// Creates a token that was received now and expires at `expires_on`.
    pub(crate) fn new(serial: u64, value: String, expires_on: SystemTime) -> Self {
        let lifetime = expires_on.duration_since(SystemTime::now()).unwrap_or_default();
        let obtained = Instant::now();
        Self {
            serial,
            obtained,
            expires: obtained + lifetime,
            expires_on,
            value: Arc::new(Zeroizing::new(value)),
        }
    }

    /// Returns the token with another serial number.
    pub(crate) fn renumbered(self, serial: u64) -> Self {
        Self { serial, ..self }
    }

    /// Returns the secret token.
    pub(crate) fn expose(&self) -> &str {
        &self.value
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("serial", &self.serial).finish_non_exhaustive()
    }
}

/// The reason why there is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenError {
    /// `Unauthenticated` when the credential is refused, `Unavailable` when there is no usable response.
    pub code: Code,
    /// The identifier of the failure, for deduplication in the log.
    pub kind: ErrorKind,
    /// One sentence for the log and for users of the Kubernetes API, with the status and the error code but nothing else
    /// of the response.
    pub message: String,
    /// The underlying error of a failure without a response, for the log only.
    pub cause: Option<String>,
}

impl TokenError {
    /// Makes an error without an underlying error.
    pub(crate) fn new(code: Code, kind: impl Into<ErrorKind>, message: String) -> Self {
        Self { code, kind: kind.into(), message, cause: None }
    }
}

impl From<TokenError> for KmsError {
    fn from(error: TokenError) -> Self {
        Self::new(error.code, error.message).of_kind(error.kind).caused_by(error.cause)
    }
}

/// The issuer from which the `TokenActor` gets its tokens.
#[async_trait]
pub(crate) trait TokenSource: Send + Sync {
    /// Requests a new token, numbered `serial`, in one attempt without a cache.
    ///
    /// # Errors
    /// The issuer refuses the credential, fails or cannot be reached, or its response holds no valid token.
    async fn fetch(&self, serial: u64) -> Result<Token, TokenError>;
}

/// The state that the `TokenActor` publishes.
#[derive(Clone, Debug, Default)]
pub(crate) struct TokenState {
    /// The latest token, which may have expired.
    pub token: Option<Token>,
    /// The failure of the latest refresh; `None` after a success.
    pub refresh_failure: Option<RefreshFailure>,
    /// The number of the credential that the `TokenActor` works with.
    pub credential_number: u64,
}

/// A failed refresh, which is retried.
#[derive(Clone, Debug)]
pub(crate) struct RefreshFailure {
    /// The reason for the failure.
    pub error: TokenError,
    /// The time at which the next attempt begins, or began.
    pub retry_at: Instant,
}

impl RefreshFailure {
    /// Returns whether the next attempt may succeed before the deadline. A refused credential stays refused.
    fn may_recover_before(&self, deadline: Instant) -> bool {
        self.error.code.meaning().is_retryable && self.retry_at < deadline
    }
}

/// The serial numbers of the newest token that Key Vault rejected with a 401, and of the newest that it accepted.
#[derive(Clone)]
pub(crate) struct RejectedTokens {
    rejected: Arc<watch::Sender<u64>>,
    accepted: Arc<AtomicU64>,
}

impl RejectedTokens {
    /// Creates the state in which no token was rejected or accepted.
    pub(crate) fn none() -> Self {
        Self { rejected: Arc::new(watch::Sender::new(0)), accepted: Arc::default() }
    }

    /// Records that Key Vault accepted the token of that number.
    pub(crate) fn accept(&self, serial: u64) {
        self.accepted.fetch_max(serial, Ordering::Relaxed);
    }

    /// Returns whether Key Vault accepted the token of that number, or a later one.
    pub(crate) fn was_accepted(&self, serial: u64) -> bool {
        self.accepted.load(Ordering::Relaxed) >= serial
    }

    /// Records that Key Vault rejected the token of that number, and notifies the subscribers.
    pub(crate) fn reject(&self, serial: u64) {
        self.rejected.send_if_modified(|newest| {
            let is_newer = serial > *newest;
            *newest = serial.max(*newest);
            is_newer
        });
    }

    /// Returns the newest rejected number, or 0 when there is none.
    pub(crate) fn newest(&self) -> u64 {
        *self.rejected.borrow()
    }

    /// Returns a receiver of the newest rejected number.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.rejected.subscribe()
    }
}

/// A reader of the published token.
#[derive(Clone)]
pub(crate) struct TokenReader {
    state: watch::Receiver<TokenState>,
    rejected: RejectedTokens,
}

impl TokenReader {
    /// Creates a reader of what the actor publishes, without the rejected tokens.
    pub(crate) fn new(state: watch::Receiver<TokenState>, rejected: RejectedTokens) -> Self {
        Self { state, rejected }
    }

    /// Returns the token, if there is one that neither expired nor was rejected.
    pub(crate) fn latest(&self) -> Option<Token> {
        self.state.borrow().token.clone().filter(|token| self.is_usable(token))
    }

    /// Returns the reason why the latest refresh failed, if it did.
    pub(crate) fn last_error(&self) -> Option<TokenError> {
        self.state.borrow().refresh_failure.as_ref().map(|failure| failure.error.clone())
    }

    /// Returns a usable token: at once if there is one, else after a refresh that is under way or begins before the
    /// deadline.
    ///
    /// # Errors
    /// The failure of the latest refresh: at once when no other can succeed before the deadline, else at the deadline.
    /// `DeadlineExceeded` when no refresh failed, `Unavailable` when the plugin is stopping.
    pub(crate) async fn usable(&self, deadline: Instant) -> Result<Token, KmsError> {
        let mut state = self.state.clone();
        loop {
            let TokenState { token, refresh_failure, .. } = state.borrow_and_update().clone();
            if let Some(token) = token.filter(|token| self.is_usable(token)) {
                return Ok(token);
            }
            if let Some(failure) = &refresh_failure
                && !failure.may_recover_before(deadline)
            {
                return Err(failure.error.clone().into());
            }
            match timeout_at(deadline, state.changed()).await {
                Err(_) => {
                    return Err(refresh_failure.map_or_else(no_token_in_time, |failure| failure.error.into()));
                }
                Ok(Err(_)) => return Err(KmsError::new(Code::Unavailable, "the plugin is stopping")),
                Ok(Ok(())) => {}
            }
        }
    }

    /// Records that Key Vault accepted that token.
    pub(crate) fn accept(&self, token: &Token) {
        self.rejected.accept(token.serial);
    }

    /// Records that Key Vault answered 401 to that token.
    pub(crate) fn reject(&self, token: &Token) {
        self.rejected.reject(token.serial);
    }

    fn is_usable(&self, token: &Token) -> bool {
        token.serial > self.rejected.newest() && token.expires > Instant::now()
    }
}

fn no_token_in_time() -> KmsError {
    KmsError::deadline("a token from Entra ID or IMDS")
}

#[cfg(test)]
mod tests;
