//! The `TokenActor`: refreshes the token for Key Vault ahead of need, so that no request waits for one.
//!
//! Publishes a snapshot. Never on a request's path: it watches the number of the newest rejected token.

use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, AsyncContext, Context, Handler, SpawnHandle};
use backon::ExponentialBackoff;
use futures_util::future::select_ok;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::reload::ActiveCredential;
use super::subscribe::on_change;
use super::supervision::{Control, Lifeline};
use crate::backoff;
use crate::config::Access;
use crate::kms::{Code, ErrorKind};
use crate::telemetry::{LIFECYCLE, LogDedup, Metrics, log_or_debug};
use crate::vault::{RefreshFailure, RejectedTokens, Token, TokenError, TokenSource, TokenState};

/// The time limit of one fetch, its hedge included.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// The time after which a fetch is hedged with a second one. Each fetch has a connection of its own.
const HEDGE_AFTER: Duration = Duration::from_secs(1);
/// The shortest time between two refreshes.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after a failure, before jitter.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The age of a rejected token below which a new one is not expected to help at once.
const EARLY_REJECTION: Duration = Duration::from_secs(10);

/// A function that creates a source of tokens for an access.
pub(crate) type Connect = dyn Fn(&Access) -> Result<Arc<dyn TokenSource>, String> + Send + Sync;

/// The dependencies of the actor, and the state that outlives it, such as the published token.
#[derive(Clone)]
pub(crate) struct TokenParts {
    /// The factory of token sources, called with the access in use.
    pub connect: Arc<Connect>,
    /// The access in use.
    pub active: Arc<watch::Sender<ActiveCredential>>,
    /// The published token.
    pub published: Arc<watch::Sender<TokenState>>,
    /// The tokens that Key Vault rejected.
    pub rejected: RejectedTokens,
    /// The metrics that count refreshes.
    pub metrics: Arc<Metrics>,
}

/// One generation of the refresher.
pub(crate) struct TokenActor {
    parts: TokenParts,
    /// The source for the credential in use; `None` while it cannot be created.
    source: Option<Arc<dyn TokenSource>>,
    active: watch::Receiver<ActiveCredential>,
    /// The number of the credential in use: the outcome of a fetch with an earlier one is ignored.
    credential_number: u64,
    pauses: ExponentialBackoff,
    next_refresh: Option<SpawnHandle>,
    is_refreshing: bool,
    /// Set while Key Vault rejects new tokens: a successful fetch alone does not reset the pauses then.
    is_rejecting_new_tokens: bool,
    /// The number of the last token that Key Vault rejected in this generation.
    last_rejected: u64,
    logged: LogDedup<ErrorKind>,
    lifeline: Lifeline,
}

impl TokenActor {
    /// Creates a source of tokens, and returns a constructor of an actor that uses it.
    ///
    /// # Errors
    /// No source can be created for the access in use.
    pub(crate) fn prepare(parts: TokenParts) -> Result<impl FnOnce(Lifeline) -> Self + Send, String> {
        let active = parts.active.subscribe();
        let source = (parts.connect)(&active.borrow().access)?;
        Ok(move |lifeline| Self::new(parts, source, active, lifeline))
    }

    fn new(
        parts: TokenParts,
        source: Arc<dyn TokenSource>,
        active: watch::Receiver<ActiveCredential>,
        lifeline: Lifeline,
    ) -> Self {
        Self {
            parts,
            source: Some(source),
            active,
            credential_number: 0,
            pauses: pauses(),
            next_refresh: None,
            is_refreshing: false,
            is_rejecting_new_tokens: false,
            last_rejected: 0,
            logged: LogDedup::repeating(),
            lifeline,
        }
    }

    fn published_token(&self) -> Option<Token> {
        self.parts.published.borrow().token.clone()
    }

    fn schedule_refresh(
        &mut self,
        pause: Duration,
        refresh: fn(&mut Self, &mut Context<Self>),
        ctx: &mut Context<Self>,
    ) {
        if let Some(earlier) = self.next_refresh.take() {
            ctx.cancel_future(earlier);
        }
        self.next_refresh = Some(ctx.run_later(pause, refresh));
    }

    /// Refreshes the token at the planned time. It was not rejected until then, so Key Vault accepts tokens again.
    fn planned_refresh(&mut self, ctx: &mut Context<Self>) {
        self.is_rejecting_new_tokens = false;
        self.pauses = pauses();
        self.refresh(ctx);
    }

    fn refresh(&mut self, ctx: &mut Context<Self>) {
        if self.is_refreshing {
            return;
        }
        let Some(source) = self.source.clone() else { return self.switch_credential(ctx) };
        self.is_refreshing = true;
        let (newest, number) = (self.newest_serial(), self.credential_number);
        let message = self.active.borrow().access.credential.no_answer(FETCH_TIMEOUT);
        let timed_out = TokenError::new(Code::Unavailable, "token/timed-out", message);
        let fetched = async move { timeout(FETCH_TIMEOUT, fetch(&*source, newest + 1)).await };
        ctx.spawn(wrap_future(fetched).map(move |fetched, actor: &mut Self, ctx| {
            if actor.credential_number != number {
                return;
            }
            actor.is_refreshing = false;
            match fetched.unwrap_or_else(|_| Err(timed_out)) {
                Ok(token) => actor.publish_token(token, ctx),
                Err(error) => actor.refresh_failed(error, ctx),
            }
        }));
    }

    fn publish_token(&mut self, token: Token, ctx: &mut Context<Self>) {
        let credential_number = self.credential_number;
        let state = TokenState { token: Some(token.clone()), refresh_failure: None, credential_number };
        if !self.publish(|published| *published = state) {
            return;
        }
        self.parts.metrics.token_refreshed(true);
        self.parts.metrics.token_expires(Some(token.expires_on));
        if !self.is_rejecting_new_tokens {
            self.pauses = pauses();
        }
        self.schedule_refresh(until_refresh(&token), Self::planned_refresh, ctx);
        let seconds = token.expires.duration_since(token.obtained).as_secs();
        if !self.is_rejecting_new_tokens && self.logged.recover() {
            tracing::info!(target: LIFECYCLE, valid_for_s = seconds, "Token refreshed");
        } else {
            tracing::info!(valid_for_s = seconds, "Token refreshed");
        }
    }

    fn publish(&self, update: impl FnOnce(&mut TokenState)) -> bool {
        self.lifeline.publish(&self.parts.published, update)
    }

    /// Schedules a retry, and keeps the published token: its readers check whether it is still valid.
    fn refresh_failed(&mut self, error: TokenError, ctx: &mut Context<Self>) {
        self.parts.metrics.token_refreshed(false);
        self.schedule_retry("Token refresh failed", error, ctx);
    }

    fn schedule_retry(&mut self, message: &str, error: TokenError, ctx: &mut Context<Self>) {
        let pause = self.pauses.next().unwrap_or(LONGEST_PAUSE);
        let refresh_failure = RefreshFailure { error: error.clone(), retry_at: Instant::now() + pause };
        if !self.publish(|state| state.refresh_failure = Some(refresh_failure)) {
            return;
        }
        let (err, cause, retry_in_ms) = (error.message, error.cause.as_deref(), pause.as_millis());
        let should_log = self.logged.should_log(error.kind);
        log_or_debug!(should_log, error, err, cause, retry_in_ms, "{message}");
        self.schedule_refresh(pause, Self::refresh, ctx);
    }

    fn newest_serial(&self) -> u64 {
        self.published_token().map_or(0, |token| token.serial).max(self.parts.rejected.newest())
    }

    /// Switches to the active credential, and publishes the token from its validation. Retries if there is no source.
    fn switch_credential(&mut self, ctx: &mut Context<Self>) {
        let ActiveCredential { number, access, token } = self.active.borrow_and_update().clone();
        self.credential_number = number;
        (self.is_refreshing, self.is_rejecting_new_tokens) = (false, false);
        match (self.parts.connect)(&access) {
            Ok(source) => self.source = Some(source),
            Err(problem) => {
                self.source = None; // no more fetches with the earlier credential
                return self.refresh_failed(no_source(problem), ctx);
            }
        }
        match token {
            Some(token) => {
                let serial = self.newest_serial() + 1;
                self.publish_token(token.renumbered(serial), ctx);
            }
            None => self.refresh(ctx),
        }
    }

    fn drop_rejected(&mut self, ctx: &mut Context<Self>) {
        let rejected = self.parts.rejected.newest();
        let Some(token) = self.published_token().filter(|token| token.serial <= rejected) else { return };
        if !self.publish(|state| state.token = None) {
            return;
        }
        let should_log = self.logged.should_log("token/dropped".into());
        log_or_debug!(should_log, warn, "Key Vault does not accept the token; it is dropped");
        self.parts.metrics.token_expires(None);
        let is_second_in_row = std::mem::replace(&mut self.last_rejected, token.serial) + 1 == token.serial;
        // a token that worked for a moment was revoked: the next one may work again
        let has_worked =
            self.parts.rejected.was_accepted(token.serial) && token.obtained.elapsed() >= SHORTEST_PAUSE;
        if token.obtained.elapsed() < EARLY_REJECTION && is_second_in_row && token.serial > 1 && !has_worked {
            self.is_rejecting_new_tokens = true; // two in a row: ask Entra ID less often
            self.schedule_retry("Key Vault does not accept new tokens either", not_accepted(), ctx);
        } else {
            self.refresh(ctx);
        }
    }
}

impl Actor for TokenActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        on_change(self.parts.rejected.subscribe(), Self::drop_rejected, ctx);
        on_change(self.active.clone(), Self::switch_credential, ctx);
        self.credential_number = self.active.borrow().number;
        if self.parts.published.borrow().credential_number != self.credential_number {
            return self.switch_credential(ctx); // it was activated while no actor ran
        }
        let rejected = self.parts.rejected.newest();
        match self.published_token().filter(|token| token.serial > rejected && token.expires > Instant::now())
        {
            Some(token) => self.schedule_refresh(until_refresh(&token), Self::planned_refresh, ctx),
            None => self.refresh(ctx),
        }
    }
}

impl Handler<Control> for TokenActor {
    type Result = ();

    fn handle(&mut self, message: Control, ctx: &mut Self::Context) {
        message.apply(ctx);
    }
}

/// Fetches a token, with a hedge if the first fetch is slow. Returns the first token, or the later of two errors.
///
/// # Errors
/// Every fetch has failed.
async fn fetch(source: &dyn TokenSource, serial: u64) -> Result<Token, TokenError> {
    let mut first = source.fetch(serial);
    match timeout(HEDGE_AFTER, &mut first).await {
        Ok(fetched) => fetched,
        Err(_) => select_ok([first, source.fetch(serial)]).await.map(|(token, _)| token),
    }
}

/// Returns the time until two thirds of the token's lifetime have passed; at least 30 % is left then.
fn until_refresh(token: &Token) -> Duration {
    let lifetime = token.expires.duration_since(token.obtained);
    let due = token.obtained + lifetime * 2 / 3;
    due.saturating_duration_since(Instant::now()).max(SHORTEST_PAUSE)
}

fn pauses() -> ExponentialBackoff {
    backoff::jittered(SHORTEST_PAUSE, LONGEST_PAUSE)
}

fn no_source(problem: String) -> TokenError {
    let message = "the plugin's new credential cannot be used".to_owned();
    TokenError { cause: Some(problem), ..TokenError::new(Code::Unavailable, "token/no-source", message) }
}

fn not_accepted() -> TokenError {
    let message = "Key Vault does not accept the plugin's tokens: wrong tenant, or revoked".to_owned();
    TokenError::new(Code::Unauthenticated, "token/not-accepted", message)
}

#[cfg(test)]
mod tests;
