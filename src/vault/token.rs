//! The published Entra token: written by the `TokenActor`, read by the call engine and the SDK's credential.
//!
//! Rejections travel the other way as one number, so none is lost while the actor restarts.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use crate::kms::{Code, ErrorKind, KmsError};

/// An access token for Key Vault.
#[derive(Clone)]
pub(crate) struct Token {
    /// Counts the tokens of this process, from 1.
    pub serial: u64,
    /// When it was received, on the monotonic clock.
    pub obtained: Instant,
    /// When it stops being valid, on the monotonic clock.
    pub expires: Instant,
    /// The same on the wall clock, for the SDK and for metrics.
    pub expires_on: SystemTime,
    value: Arc<Zeroizing<String>>,
}

impl Token {
    /// A token that ends at `expires_on`, measured from now.
    pub(crate) fn new(serial: u64, value: String, expires_on: SystemTime) -> Self {
        let left = expires_on.duration_since(SystemTime::now()).unwrap_or_default();
        let obtained = Instant::now();
        Self {
            serial,
            obtained,
            expires: obtained + left,
            expires_on,
            value: Arc::new(Zeroizing::new(value)),
        }
    }

    /// The same token under another number.
    pub(crate) fn renumbered(self, serial: u64) -> Self {
        Self { serial, ..self }
    }

    /// The bearer token itself.
    pub(crate) fn expose(&self) -> &str {
        &self.value
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("serial", &self.serial).finish_non_exhaustive()
    }
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenError {
    /// `Unauthenticated` when the credential is refused, `Unavailable` when nobody answers.
    pub code: Code,
    /// What failed, for deduplication in the log.
    pub kind: ErrorKind,
    /// One sentence, fit for a log and for an API user: status and error code, nothing else of the answer.
    pub message: String,
    /// What lies beneath a failure without an answer, for the log only.
    pub cause: Option<String>,
}

impl TokenError {
    /// Makes an error without a cause.
    pub(crate) fn new(code: Code, kind: impl Into<ErrorKind>, message: String) -> Self {
        Self { code, kind: kind.into(), message, cause: None }
    }
}

impl From<TokenError> for KmsError {
    fn from(error: TokenError) -> Self {
        Self::new(error.code, error.message).of_kind(error.kind).caused_by(error.cause)
    }
}

/// Where the `TokenActor` gets its tokens.
#[async_trait]
pub(crate) trait TokenSource: Send + Sync {
    /// One attempt to get a new token, numbered `serial`. No cache, no retry.
    async fn fetch(&self, serial: u64) -> Result<Token, TokenError>;
}

/// What the `TokenActor` publishes.
#[derive(Clone, Debug, Default)]
pub(crate) struct TokenState {
    /// The latest token; it may have expired.
    pub token: Option<Token>,
    /// Why the latest refresh failed; `None` after a success.
    pub refresh_failure: Option<RefreshFailure>,
    /// The number of the credential that the `TokenActor` works with.
    pub credential_number: u64,
}

/// A refresh that failed, and is tried again.
#[derive(Clone, Debug)]
pub(crate) struct RefreshFailure {
    /// Why it failed.
    pub error: TokenError,
    /// When the next attempt begins, or began.
    pub retry_at: Instant,
}

impl RefreshFailure {
    /// Whether the next attempt may bring a token before the deadline: a refused credential stays refused.
    fn may_pass_before(&self, deadline: Instant) -> bool {
        self.error.code.meaning().is_retryable && self.retry_at < deadline
    }
}

/// The serial number of the newest token that Key Vault answered 401 to, and of the newest that it accepted.
#[derive(Clone)]
pub(crate) struct RejectedTokens {
    rejected: Arc<watch::Sender<u64>>,
    accepted: Arc<AtomicU64>,
}

impl RejectedTokens {
    /// No token was rejected yet.
    pub(crate) fn none() -> Self {
        Self { rejected: Arc::new(watch::Sender::new(0)), accepted: Arc::default() }
    }

    /// Reports that Key Vault accepted the token of that number.
    pub(crate) fn accept(&self, serial: u64) {
        self.accepted.fetch_max(serial, Ordering::Relaxed);
    }

    /// Whether Key Vault ever accepted the token of that number, or a later one.
    pub(crate) fn was_accepted(&self, serial: u64) -> bool {
        self.accepted.load(Ordering::Relaxed) >= serial
    }

    /// Reports that Key Vault rejected the token of that number.
    pub(crate) fn reject(&self, serial: u64) {
        self.rejected.send_if_modified(|newest| {
            let newer = serial > *newest;
            *newest = serial.max(*newest);
            newer
        });
    }

    /// The newest rejected number, 0 when there is none.
    pub(crate) fn newest(&self) -> u64 {
        *self.rejected.borrow()
    }

    /// Told of every change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.rejected.subscribe()
    }
}

/// Reads the published token.
#[derive(Clone)]
pub(crate) struct TokenReader {
    state: watch::Receiver<TokenState>,
    rejected: RejectedTokens,
}

impl TokenReader {
    /// Reads from what the actor publishes, minus what was rejected.
    pub(crate) fn new(state: watch::Receiver<TokenState>, rejected: RejectedTokens) -> Self {
        Self { state, rejected }
    }

    /// The token, if there is one that neither expired nor was rejected.
    pub(crate) fn latest(&self) -> Option<Token> {
        self.state.borrow().token.clone().filter(|token| self.is_usable(token))
    }

    /// The reason why there is no token, if that is known.
    pub(crate) fn last_error(&self) -> Option<TokenError> {
        self.state.borrow().refresh_failure.as_ref().map(|refresh_failure| refresh_failure.error.clone())
    }

    /// A usable token: at once if there is one, or when a refresh that is under way or due before the deadline ends.
    ///
    /// # Errors
    /// The reason of the last refresh when no other can help in time; `DeadlineExceeded`.
    pub(crate) async fn usable(&self, deadline: Instant) -> Result<Token, KmsError> {
        let mut state = self.state.clone();
        loop {
            let seen = state.borrow_and_update().clone();
            if let Some(token) = seen.token.filter(|token| self.is_usable(token)) {
                return Ok(token);
            }
            if let Some(refresh_failure) = seen
                .refresh_failure
                .as_ref()
                .filter(|refresh_failure| !refresh_failure.may_pass_before(deadline))
            {
                return Err(refresh_failure.error.clone().into());
            }
            match timeout_at(deadline, state.changed()).await {
                Err(_) => {
                    return Err(seen
                        .refresh_failure
                        .map_or_else(no_token_in_time, |refresh_failure| refresh_failure.error.into()));
                }
                Ok(Err(_)) => return Err(KmsError::new(Code::Unavailable, "the plugin is stopping")),
                Ok(Ok(())) => {}
            }
        }
    }

    /// Reports that Key Vault accepted that token.
    pub(crate) fn accept(&self, token: &Token) {
        self.rejected.accept(token.serial);
    }

    /// Reports that Key Vault answered 401 to that token.
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
mod tests {
    use std::time::Duration;

    use super::*;

    fn token(serial: u64, seconds: u64) -> Token {
        Token::new(serial, "s3cr3t".into(), SystemTime::now() + Duration::from_secs(seconds))
    }

    fn reader(state: TokenState) -> (watch::Sender<TokenState>, TokenReader) {
        let (sender, receiver) = watch::channel(state);
        (sender, TokenReader::new(receiver, RejectedTokens::none()))
    }

    fn trouble(code: Code, seconds: u64) -> RefreshFailure {
        let error = TokenError::new(code, "down", "down".into());
        RefreshFailure { error, retry_at: Instant::now() + Duration::from_secs(seconds) }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    #[test]
    fn debug_shows_nothing_of_a_token() {
        let state = TokenState {
            token: Some(token_outside_a_runtime()),
            refresh_failure: None,
            credential_number: 0,
        };
        assert!(!format!("{state:?}").contains("s3cr3t"));
    }

    fn token_outside_a_runtime() -> Token {
        Token::new(7, "s3cr3t".into(), SystemTime::now())
    }

    #[tokio::test(start_paused = true)]
    async fn a_valid_token_is_given_even_when_the_last_refresh_failed() {
        let refresh_failure = Some(trouble(Code::Unavailable, 30));
        let (_sender, reader) =
            reader(TokenState { token: Some(token(1, 60)), refresh_failure, credential_number: 0 });
        assert_eq!(reader.usable(soon()).await.unwrap().serial, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_expired_token_and_a_failed_refresh_give_the_reason_at_once() {
        let refresh_failure = Some(trouble(Code::Unavailable, 30));
        let (_sender, reader) =
            reader(TokenState { token: Some(token(1, 1)), refresh_failure, credential_number: 0 });
        tokio::time::advance(Duration::from_secs(2)).await;
        let start = Instant::now();
        assert_eq!(reader.usable(soon()).await.unwrap_err().message, "down");
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refresh_that_is_due_before_the_deadline_is_waited_for() {
        let (sender, reader) = reader(TokenState {
            token: None,
            refresh_failure: Some(trouble(Code::Unavailable, 0)),
            credential_number: 0,
        });
        let waiting = tokio::spawn(async move { reader.usable(soon()).await });
        tokio::task::yield_now().await;
        sender.send_replace(TokenState {
            token: Some(token(1, 60)),
            refresh_failure: None,
            credential_number: 0,
        });
        assert_eq!(waiting.await.unwrap().unwrap().serial, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_credential_is_not_waited_for() {
        let refresh_failure = Some(trouble(Code::Unauthenticated, 0));
        let (_sender, reader) = reader(TokenState { token: None, refresh_failure, credential_number: 0 });
        let start = Instant::now();
        assert_eq!(reader.usable(soon()).await.unwrap_err().code, Code::Unauthenticated);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rejected_token_is_not_given_again_and_the_next_one_is_waited_for() {
        let (sender, reader) =
            reader(TokenState { token: Some(token(1, 60)), refresh_failure: None, credential_number: 0 });
        reader.reject(&reader.latest().unwrap());
        assert!(reader.latest().is_none());
        let waiting = tokio::spawn({
            let reader = reader.clone();
            async move { reader.usable(soon()).await }
        });
        tokio::task::yield_now().await;
        sender.send_replace(TokenState {
            token: Some(token(2, 60)),
            refresh_failure: None,
            credential_number: 0,
        });
        assert_eq!(waiting.await.unwrap().unwrap().serial, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_a_token_ends_at_the_deadline() {
        let (_sender, reader) = reader(TokenState::default());
        assert_eq!(reader.usable(soon()).await.unwrap_err().code, Code::DeadlineExceeded);
    }
}
