//! The `HealthActor`: a client of our own socket on a timer. Publishes the report that Status and healthz answer from.
//!
//! Each round asks Version and Status, which cost nothing. Encrypt and Decrypt cost calls to Key Vault: they are asked
//! when something is in question, and otherwise seldom, or not at all while real traffic shows the same.

use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, AsyncContext, Context, Handler, SpawnHandle};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::passive::PassiveHealth;
use super::report::{Check, HealthReport};
use super::socket_client::SocketClient;
use crate::actors::subscribe::on_change;
use crate::actors::supervision::{Control, Lifeline};
use crate::kms::{Api, Code, ErrorKind, KmsError};
use crate::telemetry::{LIFECYCLE, LogDedup};

/// What is in question is probed again this soon, or after the interval if that is shorter.
const REPEAT_AFTER: Duration = Duration::from_secs(1);
/// What has been failing for so long is probed at the interval only.
const PATIENCE: Duration = Duration::from_secs(30);
/// An idle plugin makes a round trip through Key Vault every so many rounds, for v1 and v2 in turn: with the default
/// interval of 10 s that is 90 an hour, 180 calls.
const ROUNDS_PER_ROUND_TRIP: u32 = 4;

/// What the actor needs, and what outlives it.
#[derive(Clone)]
pub(crate) struct HealthParts {
    /// Makes a client of our own socket, on the actor's own thread.
    pub connect: Arc<dyn Fn() -> Box<dyn SocketClient> + Send + Sync>,
    /// The time between two rounds.
    pub interval: Duration,
    /// How long each step of a round may take.
    pub timeout: Duration,
    /// What real traffic shows.
    pub passive_health: Arc<PassiveHealth>,
    /// Where the report goes.
    pub published: Arc<watch::Sender<HealthReport>>,
    /// Set when the socket is closed on purpose: what is found then is no news.
    pub draining: watch::Receiver<bool>,
}

/// One generation of the prober.
pub(crate) struct HealthActor {
    parts: HealthParts,
    /// Whose turn the next seldom round trip is.
    turn: Api,
    /// Rounds to go until then.
    rounds_to_turn: u32,
    /// A client's call has failed since the last round trip.
    is_suspect: bool,
    /// The next round; `None` while one runs.
    next: Option<SpawnHandle>,
    logged: LogDedup<(&'static str, ErrorKind)>,
    lifeline: Lifeline,
}

/// The round trip of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RoundTrip {
    /// Nothing is in question.
    NotDue,
    /// Real traffic has shown that it would succeed.
    Shown(Api),
    /// Make it.
    Make(Api),
}

impl HealthActor {
    /// An actor that publishes to `parts`.
    pub(crate) fn new(parts: HealthParts, lifeline: Lifeline) -> Self {
        let logged = LogDedup::repeating();
        Self { parts, turn: Api::V1, rounds_to_turn: 0, is_suspect: false, next: None, logged, lifeline }
    }

    /// What is to be looked at in this round: what is due, or else what is in question.
    fn choose(&mut self) -> RoundTrip {
        let due = self.rounds_to_turn == 0;
        self.rounds_to_turn = self.rounds_to_turn.saturating_sub(1);
        let report = self.parts.published.borrow().clone();
        let in_question =
            [self.turn, self.turn.other()].into_iter().find(|api| *report.round_trip(*api) != Check::Healthy);
        let api = match in_question {
            Some(api) if !due => api,
            None if !due && !self.is_suspect => return RoundTrip::NotDue,
            _ => self.turn,
        };
        if due {
            (self.turn, self.rounds_to_turn) = (api.other(), ROUNDS_PER_ROUND_TRIP - 1);
        }
        let is_suspect = std::mem::take(&mut self.is_suspect);
        match !is_suspect && self.is_shown(api, report.round_trip(api)) {
            true => RoundTrip::Shown(api),
            false => RoundTrip::Make(api),
        }
    }

    /// Whether real traffic has shown that the API works: of late, or since the last round when that is in question.
    fn is_shown(&self, api: Api, check: &Check) -> bool {
        let recent = match check {
            Check::Healthy => self.parts.interval * ROUNDS_PER_ROUND_TRIP,
            _ => self.soon(),
        };
        let since = Instant::now().checked_sub(recent);
        since.is_some_and(|since| self.parts.passive_health.healthy_since(api, since))
    }

    /// Version, then a round trip, then Status: Status waits for the first report, so it comes last. Each round has a
    /// connection of its own, so it notices when clients can no longer connect.
    fn round(&mut self, ctx: &mut Context<Self>) {
        self.next = None;
        let (mut client, limit, trip) = ((self.parts.connect)(), self.parts.timeout, self.choose());
        let passive_health = self.parts.passive_health.clone();
        let probed = async move {
            let version = timeout(limit, client.version()).await.unwrap_or_else(late);
            let found = match trip {
                _ if version.is_err() => None, // through that socket nothing is learned about Key Vault
                RoundTrip::NotDue => None,
                RoundTrip::Shown(api) => Some((api, Ok(()))),
                RoundTrip::Make(api) => round_trip(&mut *client, api, limit, &passive_health).await,
            };
            (version, found, client)
        };
        ctx.spawn(wrap_future(probed).map(move |(version, found, client), actor: &mut Self, ctx| {
            // what could not be looked at still is in question
            actor.is_suspect |= version.is_err() && trip != RoundTrip::NotDue;
            actor.found(version, found, client, ctx);
        }));
    }

    fn found(
        &mut self,
        version: Result<(), KmsError>,
        found: Option<(Api, Result<(), KmsError>)>,
        client: Box<dyn SocketClient>,
        ctx: &mut Context<Self>,
    ) {
        self.report(|report| {
            // Status waits for the first report, so it cannot have its say in it
            if version.is_ok() && report.grpc_socket == Check::Unknown {
                report.grpc_socket.update(Ok(()));
            }
            if let Some((api, outcome)) = found {
                report.round_trip_mut(api).update(outcome);
            }
        });
        match version {
            Ok(()) => self.check_status(client, ctx),
            failed => self.end_round(failed, ctx),
        }
    }

    fn check_status(&self, mut client: Box<dyn SocketClient>, ctx: &mut Context<Self>) {
        let limit = self.parts.timeout;
        let probed = async move { timeout(limit, client.status()).await.unwrap_or_else(late) };
        ctx.spawn(wrap_future(probed).map(move |status, actor: &mut Self, ctx| {
            actor.end_round(status, ctx);
        }));
    }

    fn end_round(&mut self, socket: Result<(), KmsError>, ctx: &mut Context<Self>) {
        self.report(|report| report.grpc_socket.update(socket));
        let pause = if self.is_suspect { self.soon() } else { self.pause() };
        self.next = Some(ctx.run_later(pause, Self::round));
    }

    /// A client's call has failed: look at it soon.
    fn client_failed(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.is_suspect, true) {
            return;
        }
        if let Some(next) = self.next.take() {
            ctx.cancel_future(next);
            self.next = Some(ctx.run_later(self.soon(), Self::round));
        }
    }

    /// The time to the next round.
    fn pause(&self) -> Duration {
        let report = self.parts.published.borrow();
        let checks = [&report.grpc_socket, report.round_trip(Api::V1), report.round_trip(Api::V2)];
        let is_hot = |check: &&Check| match check {
            Check::Unknown | Check::Healthy => false,
            Check::Degraded { .. } => true,
            Check::Failed { since, .. } => since.elapsed() < PATIENCE,
        };
        if checks.iter().any(is_hot) { self.soon() } else { self.parts.interval }
    }

    fn soon(&self) -> Duration {
        self.parts.interval.min(REPEAT_AFTER)
    }

    /// Publishes what was found, and logs when the report as a whole rises or falls.
    fn report(&self, update: impl FnOnce(&mut HealthReport)) {
        if *self.parts.draining.borrow() {
            return;
        }
        let before = self.parts.published.borrow().clone();
        let mut after = before.clone();
        update(&mut after);
        if self.lifeline.publish(&self.parts.published, |report| *report = after.clone()) {
            self.log_change(&before, &after);
        }
    }

    fn log_change(&self, before: &HealthReport, after: &HealthReport) {
        match after.failing() {
            _ if !after.is_telling() => {}
            None if before.failing().is_none() => {}
            None => {
                self.logged.recover();
                tracing::info!(target: LIFECYCLE, "Healthy");
            }
            Some((check, problem)) if self.logged.should_log((check, problem.kind.clone())) => {
                let err = format!("{check}: {}", problem.message);
                tracing::error!(target: LIFECYCLE, err, "Unhealthy");
            }
            Some(_) => {}
        }
    }
}

/// `None` when it failed for want of a turn: Key Vault served more urgent operations meanwhile.
async fn round_trip(
    client: &mut dyn SocketClient,
    api: Api,
    limit: Duration,
    passive_health: &PassiveHealth,
) -> Option<(Api, Result<(), KmsError>)> {
    let start = Instant::now();
    let outcome = timeout(limit, client.round_trip(api)).await.unwrap_or_else(late);
    let crowded_out = outcome.as_ref().is_err_and(|error| {
        matches!(error.code, Code::ResourceExhausted | Code::DeadlineExceeded)
            && passive_health.alive_since(start)
    });
    (!crowded_out).then_some((api, outcome))
}

fn late<E>(_: E) -> Result<(), KmsError> {
    Err(KmsError::new(Code::DeadlineExceeded, "the health check's own time limit (--healthz-timeout) passed"))
}

impl Actor for HealthActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        on_change(self.parts.passive_health.failures(), Self::client_failed, ctx);
        self.round(ctx);
    }
}

impl Handler<Control> for HealthActor {
    type Result = ();

    fn handle(&mut self, message: Control, ctx: &mut Self::Context) {
        message.apply(ctx);
    }
}

#[cfg(test)]
mod tests;
