//! The `TokenActor`: keeps an Entra token fresh, ahead of need, so that no request waits for one.
//!
//! Publishes a snapshot. Never on a request's path: a rejected token reaches it as a number it watches.

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

/// How long one fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// When a fetch has taken so long, a second one goes out: on another connection, as each does.
const SLOW: Duration = Duration::from_secs(1);
/// The shortest time between two refreshes.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after a failure, before jitter.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A token that Key Vault rejects within this time of its issue shows that another one would not help at once.
const YOUNG: Duration = Duration::from_secs(10);

/// Makes a source of tokens.
pub(crate) type Connect = dyn Fn(&Access) -> Result<Arc<dyn TokenSource>, String> + Send + Sync;

/// What the actor needs, and what outlives it: a restarted actor goes on with the token that was published.
#[derive(Clone)]
pub(crate) struct TokenParts {
    /// Makes what tokens come from, of the access in use.
    pub connect: Arc<Connect>,
    /// The access in use.
    pub active: Arc<watch::Sender<ActiveCredential>>,
    /// Where they are published.
    pub published: Arc<watch::Sender<TokenState>>,
    /// Which of them Key Vault rejected.
    pub rejected: RejectedTokens,
    /// Counts refreshes.
    pub metrics: Arc<Metrics>,
}

/// One generation of the refresher.
pub(crate) struct TokenActor {
    parts: TokenParts,
    source: Arc<dyn TokenSource>,
    active: watch::Receiver<ActiveCredential>,
    /// The number of the credential in use: what an earlier one fetches is dropped.
    credential_number: u64,
    pauses: ExponentialBackoff,
    next_refresh: Option<SpawnHandle>,
    refreshing: bool,
    /// Key Vault rejects what Entra ID issues: a new token alone is no reason to start from the shortest pause again.
    distrusted: bool,
    /// The number of the last token that Key Vault rejected in this generation.
    last_rejected: u64,
    /// The failures that were logged.
    logged: LogDedup<ErrorKind>,
    lifeline: Lifeline,
}

impl TokenActor {
    /// What makes an actor that publishes to, and starts from, `parts`.
    ///
    /// # Errors
    /// There is no source of tokens; says why.
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
            source,
            active,
            credential_number: 0,
            pauses: pauses(),
            next_refresh: None,
            refreshing: false,
            distrusted: false,
            last_rejected: 0,
            logged: LogDedup::repeating(),
            lifeline,
        }
    }

    fn published_token(&self) -> Option<Token> {
        self.parts.published.borrow().token.clone()
    }

    fn refresh_in(
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

    /// The token has lasted until its planned refresh, so Key Vault takes what Entra ID issues.
    fn planned_refresh(&mut self, ctx: &mut Context<Self>) {
        self.distrusted = false;
        self.pauses = pauses();
        self.refresh(ctx);
    }

    fn refresh(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.refreshing, true) {
            return;
        }
        let newest = self.newest_serial();
        let (source, number) = (self.source.clone(), self.credential_number);
        let message = self.active.borrow().access.credential.no_answer(FETCH_TIMEOUT);
        let silent = TokenError::new(Code::Unavailable, "token/timed-out", message);
        let fetched = async move { timeout(FETCH_TIMEOUT, fetch(&*source, newest + 1)).await };
        ctx.spawn(wrap_future(fetched).map(move |fetched, actor: &mut Self, ctx| {
            if actor.credential_number != number {
                return;
            }
            actor.refreshing = false;
            match fetched.unwrap_or_else(|_| Err(silent)) {
                Ok(token) => actor.fetched(token, ctx),
                Err(error) => actor.failed(error, ctx),
            }
        }));
    }

    fn fetched(&mut self, token: Token, ctx: &mut Context<Self>) {
        let state = TokenState {
            token: Some(token.clone()),
            refresh_failure: None,
            credential_number: self.credential_number,
        };
        if !self.publish(|published| *published = state) {
            return;
        }
        self.parts.metrics.token_refreshed(true);
        self.parts.metrics.token_expires(Some(token.expires_on));
        if !self.distrusted {
            self.pauses = pauses();
        }
        self.refresh_in(until_refresh(&token), Self::planned_refresh, ctx);
        let seconds = token.expires.duration_since(token.obtained).as_secs();
        match !self.distrusted && self.logged.recover() {
            true => tracing::info!(target: LIFECYCLE, valid_for_s = seconds, "Token refreshed"),
            false => tracing::info!(valid_for_s = seconds, "Token refreshed"),
        }
    }

    fn publish(&self, update: impl FnOnce(&mut TokenState)) -> bool {
        self.lifeline.publish(&self.parts.published, update)
    }

    /// Keeps the token there is. Whether it is still valid is for its readers to see.
    fn failed(&mut self, error: TokenError, ctx: &mut Context<Self>) {
        self.parts.metrics.token_refreshed(false);
        self.try_again_later("Token refresh failed", error, ctx);
    }

    fn try_again_later(&mut self, what: &str, error: TokenError, ctx: &mut Context<Self>) {
        let pause = self.pauses.next().unwrap_or(LONGEST_PAUSE);
        let refresh_failure = RefreshFailure { error: error.clone(), retry_at: Instant::now() + pause };
        if !self.publish(|state| state.refresh_failure = Some(refresh_failure)) {
            return;
        }
        let (err, cause, retry_in_ms) = (error.message, error.cause.as_deref(), pause.as_millis());
        let should_log = self.logged.should_log(error.kind);
        log_or_debug!(should_log, error, err, cause, retry_in_ms, "{what}");
        self.refresh_in(pause, Self::refresh, ctx);
    }

    fn newest_serial(&self) -> u64 {
        self.published_token().map_or(0, |token| token.serial).max(self.parts.rejected.newest())
    }

    /// Goes on with another credential, and with the token that showed that it works.
    fn adopt(&mut self, ctx: &mut Context<Self>) {
        let ActiveCredential { number, access, token } = self.active.borrow_and_update().clone();
        match (self.parts.connect)(&access) {
            Ok(source) => self.source = source,
            Err(problem) => {
                return tracing::error!(target: LIFECYCLE, err = problem, "The new credential cannot be used");
            }
        }
        self.credential_number = number;
        (self.refreshing, self.distrusted) = (false, false);
        match token {
            Some(token) => {
                let serial = self.newest_serial() + 1;
                self.fetched(token.renumbered(serial), ctx);
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
        log_or_debug!(
            self.logged.should_log("token/dropped".into()),
            warn,
            "Key Vault does not accept the token; it is dropped"
        );
        self.parts.metrics.token_expires(None);
        let predecessor_too = std::mem::replace(&mut self.last_rejected, token.serial) + 1 == token.serial;
        // one that worked for a moment was revoked: the next one may work again
        let worked =
            self.parts.rejected.was_accepted(token.serial) && token.obtained.elapsed() >= SHORTEST_PAUSE;
        if token.obtained.elapsed() < YOUNG && predecessor_too && token.serial > 1 && !worked {
            self.distrusted = true; // one after the other: ask Entra ID less often
            self.try_again_later("Key Vault does not accept new tokens either", not_accepted(), ctx);
        } else {
            self.refresh(ctx);
        }
    }
}

impl Actor for TokenActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        on_change(self.parts.rejected.subscribe(), Self::drop_rejected, ctx);
        on_change(self.active.clone(), Self::adopt, ctx);
        self.credential_number = self.active.borrow().number;
        if self.parts.published.borrow().credential_number != self.credential_number {
            return self.adopt(ctx); // taken over while no actor was there
        }
        let rejected = self.parts.rejected.newest();
        match self.published_token().filter(|token| token.serial > rejected && token.expires > Instant::now())
        {
            Some(token) => self.refresh_in(until_refresh(&token), Self::planned_refresh, ctx),
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

/// One fetch, and a second one if that is slow. The first token counts, and of two failures the later.
async fn fetch(source: &dyn TokenSource, serial: u64) -> Result<Token, TokenError> {
    let mut first = source.fetch(serial);
    match timeout(SLOW, &mut first).await {
        Ok(fetched) => fetched,
        Err(_) => select_ok([first, source.fetch(serial)]).await.map(|(token, _)| token),
    }
}

/// Two thirds of a token's life, so that at least 30 % is left when the refresh begins.
fn until_refresh(token: &Token) -> Duration {
    let life = token.expires.duration_since(token.obtained);
    let due = token.obtained + life * 2 / 3;
    due.saturating_duration_since(Instant::now()).max(SHORTEST_PAUSE)
}

fn pauses() -> ExponentialBackoff {
    backoff::jittered(SHORTEST_PAUSE, LONGEST_PAUSE)
}

fn not_accepted() -> TokenError {
    let message = "Key Vault does not accept the plugin's tokens: wrong tenant, or revoked".to_owned();
    TokenError::new(Code::Unauthenticated, "token/not-accepted", message)
}

#[cfg(test)]
mod tests;
