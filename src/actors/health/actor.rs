//! The `HealthActor`: a client of our own socket on a timer. Publishes the report that Status and healthz answer
//! from.
//!
//! Each round calls Version and Status, which cost nothing. Encrypt and Decrypt cost calls to Key Vault: they are
//! made when a check may have failed, and otherwise rarely, or not at all while real traffic shows the same.

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

/// The pause before the next round after a failed probe or a failed call of a client, unless the interval is shorter.
const RECHECK_PAUSE: Duration = Duration::from_secs(1);
/// The duration of failures after which a failed check is probed at the interval again.
const RECHECK_PERIOD: Duration = Duration::from_secs(30);
/// The number of rounds for each round trip through Key Vault of an idle plugin, with v1 and v2 in turn: at the
/// default interval of 10 s that is 90 an hour, 180 calls.
const ROUNDS_PER_ROUND_TRIP: u32 = 4;

/// The dependencies of the actor, and the state that outlives it.
#[derive(Clone)]
pub(crate) struct HealthParts {
    /// The factory of clients of our own socket, called on the actor's own thread.
    pub connect: Arc<dyn Fn() -> Box<dyn SocketClient> + Send + Sync>,
    /// The time between two rounds.
    pub interval: Duration,
    /// The time limit of each step of a round.
    pub timeout: Duration,
    /// The outcomes of clients' requests.
    pub passive_health: Arc<PassiveHealth>,
    /// The published report.
    pub published: Arc<watch::Sender<HealthReport>>,
    /// `true` when the socket is being closed on purpose: results are ignored from then on.
    pub draining: watch::Receiver<bool>,
}

/// One generation of the prober.
pub(crate) struct HealthActor {
    parts: HealthParts,
    /// The API of the next periodic round trip.
    next_api: Api,
    /// The rounds before the next periodic round trip.
    rounds_until_due: u32,
    /// Set when a client's call has failed since the last round trip.
    is_suspect: bool,
    /// The timer of the next round; `None` while a round runs.
    next_round: Option<SpawnHandle>,
    logged: LogDedup<(&'static str, ErrorKind)>,
    lifeline: Lifeline,
}

/// The decision on the round trip of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RoundTrip {
    /// No: none is due, and no check may have failed.
    NotDue,
    /// No: real traffic has shown that it would succeed.
    Observed(Api),
    /// Yes.
    Probe(Api),
}

impl HealthActor {
    /// Creates an actor that publishes to `parts`.
    pub(crate) fn new(parts: HealthParts, lifeline: Lifeline) -> Self {
        Self {
            parts,
            next_api: Api::V1,
            rounds_until_due: 0,
            is_suspect: false,
            next_round: None,
            logged: LogDedup::repeating(),
            lifeline,
        }
    }

    /// Decides on the round trip of this round: the periodic one when it is due, or else one for an API that is not
    /// healthy.
    fn plan_round_trip(&mut self) -> RoundTrip {
        let is_due = self.rounds_until_due == 0;
        self.rounds_until_due = self.rounds_until_due.saturating_sub(1);
        let report = self.parts.published.borrow().clone();
        let unhealthy = [self.next_api, self.next_api.other()]
            .into_iter()
            .find(|api| *report.round_trip(*api) != Check::Healthy);
        let api = match unhealthy {
            Some(api) if !is_due => api,
            None if !is_due && !self.is_suspect => return RoundTrip::NotDue,
            _ => self.next_api,
        };
        if is_due {
            (self.next_api, self.rounds_until_due) = (api.other(), ROUNDS_PER_ROUND_TRIP - 1);
        }
        let is_suspect = std::mem::take(&mut self.is_suspect);
        if !is_suspect && self.is_observed_healthy(api, report.round_trip(api)) {
            RoundTrip::Observed(api)
        } else {
            RoundTrip::Probe(api)
        }
    }

    /// Returns whether real traffic has shown that the API works: since the last periodic round trip, or within the
    /// last round if the check is not healthy.
    fn is_observed_healthy(&self, api: Api, check: &Check) -> bool {
        let recent = match check {
            Check::Healthy => self.parts.interval * ROUNDS_PER_ROUND_TRIP,
            _ => self.recheck_pause(),
        };
        let since = Instant::now().checked_sub(recent);
        since.is_some_and(|since| self.parts.passive_health.is_healthy_since(api, since))
    }

    /// Calls Version, then makes a round trip, then calls Status, which is last because it waits for the first
    /// report. Each round has a connection of its own, so it notices when clients can no longer connect.
    fn round(&mut self, ctx: &mut Context<Self>) {
        self.next_round = None;
        let (mut client, limit) = ((self.parts.connect)(), self.parts.timeout);
        let round_trip = self.plan_round_trip();
        let passive_health = self.parts.passive_health.clone();
        let probed = async move {
            let version = timeout(limit, client.version()).await.unwrap_or_else(timed_out);
            let outcome = match round_trip {
                _ if version.is_err() => None, // a failure would be that of the socket, and not of Key Vault
                RoundTrip::NotDue => None,
                RoundTrip::Observed(api) => Some((api, Ok(()))),
                RoundTrip::Probe(api) => probe(&mut *client, api, limit, &passive_health).await,
            };
            (version, outcome, client)
        };
        ctx.spawn(wrap_future(probed).map(move |(version, outcome, client), actor: &mut Self, ctx| {
            // a round trip that was not made is made soon
            actor.is_suspect |= version.is_err() && round_trip != RoundTrip::NotDue;
            actor.record(version, outcome, client, ctx);
        }));
    }

    fn record(
        &mut self,
        version: Result<(), KmsError>,
        round_trip: Option<(Api, Result<(), KmsError>)>,
        client: Box<dyn SocketClient>,
        ctx: &mut Context<Self>,
    ) {
        self.update_report(|report| {
            // Status waits for the first report, so its outcome cannot be part of that
            if version.is_ok() && report.grpc_socket == Check::Unknown {
                report.grpc_socket.update(Ok(()));
            }
            if let Some((api, outcome)) = round_trip {
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
        let probed = async move { timeout(limit, client.status()).await.unwrap_or_else(timed_out) };
        ctx.spawn(wrap_future(probed).map(move |status, actor: &mut Self, ctx| {
            actor.end_round(status, ctx);
        }));
    }

    fn end_round(&mut self, socket: Result<(), KmsError>, ctx: &mut Context<Self>) {
        self.update_report(|report| report.grpc_socket.update(socket));
        let pause = if self.is_suspect { self.recheck_pause() } else { self.pause() };
        self.next_round = Some(ctx.run_later(pause, Self::round));
    }

    /// Starts the next round soon, because a client's call has failed.
    fn client_failed(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.is_suspect, true) {
            return;
        }
        if let Some(next) = self.next_round.take() {
            ctx.cancel_future(next);
            self.next_round = Some(ctx.run_later(self.recheck_pause(), Self::round));
        }
    }

    /// Returns the pause before the next round, as the report calls for.
    fn pause(&self) -> Duration {
        let report = self.parts.published.borrow();
        let checks = [&report.grpc_socket, report.round_trip(Api::V1), report.round_trip(Api::V2)];
        let needs_recheck = |check: &&Check| match check {
            Check::Unknown | Check::Healthy => false,
            Check::Degraded { .. } => true,
            Check::Failed { since, .. } => since.elapsed() < RECHECK_PERIOD,
        };
        if checks.iter().any(needs_recheck) { self.recheck_pause() } else { self.parts.interval }
    }

    fn recheck_pause(&self) -> Duration {
        self.parts.interval.min(RECHECK_PAUSE)
    }

    /// Publishes an updated report, and logs when the plugin as a whole becomes healthy or unhealthy.
    fn update_report(&self, update: impl FnOnce(&mut HealthReport)) {
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
        match after.first_failure() {
            _ if !after.has_result() => {}
            None if before.first_failure().is_none() => {}
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

/// Makes a round trip. Returns `None` when it failed because Key Vault served more urgent operations meanwhile.
async fn probe(
    client: &mut dyn SocketClient,
    api: Api,
    limit: Duration,
    passive_health: &PassiveHealth,
) -> Option<(Api, Result<(), KmsError>)> {
    let start = Instant::now();
    let outcome = timeout(limit, client.round_trip(api)).await.unwrap_or_else(timed_out);
    let is_starved = outcome.as_ref().is_err_and(|error| {
        matches!(error.code, Code::ResourceExhausted | Code::DeadlineExceeded)
            && passive_health.is_alive_since(start)
    });
    (!is_starved).then_some((api, outcome))
}

/// Returns the outcome of a step that has passed its time limit.
///
/// # Errors
/// Always `DeadlineExceeded`.
fn timed_out<E>(_: E) -> Result<(), KmsError> {
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
