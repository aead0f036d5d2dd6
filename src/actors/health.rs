//! The `HealthActor`: a client of our own socket on a timer. Publishes the report that Status and healthz answer from.

use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, AsyncContext, Context, Handler};
use tokio::sync::watch;
use tokio::time::timeout;

use super::control::{Control, Lifeline};
use super::probe::{Api, Probe};
use crate::telemetry::LIFECYCLE;

/// A failed probe is repeated this soon, or after the interval if that is shorter.
const REPEAT_AFTER: Duration = Duration::from_secs(1);
/// A healthy check falls at the so-manieth failure in a row, so that one blip does not show.
const FALLS_AFTER: u32 = 2;

/// The state of one check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Check {
    /// Not probed yet.
    #[default]
    Unknown,
    /// The last probe succeeded, or only one since has failed.
    Healthy {
        /// Failures since the last success.
        failures: u32,
    },
    /// Failed, for that reason. Fit for API users.
    Failed(String),
}

impl Check {
    /// Rises at the first success; falls at the second failure in a row, or at once if it never was healthy.
    fn update(&mut self, outcome: Result<(), String>) {
        *self = match (outcome, &*self) {
            (Ok(()), _) => Self::Healthy { failures: 0 },
            (Err(_), Self::Healthy { failures }) if failures + 1 < FALLS_AFTER => {
                Self::Healthy { failures: failures + 1 }
            }
            (Err(reason), _) => Self::Failed(reason),
        };
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) fn outcome(&self) -> Result<(), String> {
        match self {
            Self::Healthy { .. } => Ok(()),
            Self::Unknown => Err("not probed yet".into()),
            Self::Failed(reason) => Err(reason.clone()),
        }
    }
}

/// What the probes found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HealthReport {
    /// Version and Status answer on the socket.
    pub grpc_socket: Check,
    /// Encrypt and Decrypt of v1 give back what was put in.
    v1: Check,
    /// The same for v2.
    v2: Check,
}

impl HealthReport {
    fn round_trip(&mut self, api: Api) -> &mut Check {
        match api {
            Api::V1 => &mut self.v1,
            Api::V2 => &mut self.v2,
        }
    }

    /// Whether Key Vault was probed at least once.
    pub(crate) fn is_complete(&self) -> bool {
        [&self.v1, &self.v2].iter().any(|check| **check != Check::Unknown)
    }

    /// Whether Key Vault serves both APIs. One that was not probed yet does not count.
    ///
    /// # Errors
    /// Why one of them fails.
    pub(crate) fn key_vault(&self) -> Result<(), String> {
        let mut probed = [&self.v1, &self.v2].into_iter().filter(|check| **check != Check::Unknown);
        match self.is_complete() {
            true => probed.try_for_each(Check::outcome),
            false => Check::Unknown.outcome(),
        }
    }

    /// Why the plugin is not healthy; `None` when it is.
    pub(crate) fn problem(&self) -> Option<String> {
        let checks = [("grpc-socket", self.grpc_socket.outcome()), ("key-vault", self.key_vault())];
        checks.into_iter().find_map(|(name, outcome)| Some(format!("{name}: {}", outcome.err()?)))
    }
}

/// What the actor needs, and what outlives it.
#[derive(Clone)]
pub(crate) struct HealthParts {
    /// Makes a client of our own socket, on the actor's own thread.
    pub connect: Arc<dyn Fn() -> Probe + Send + Sync>,
    /// The time between two rounds.
    pub interval: Duration,
    /// How long a round may take.
    pub timeout: Duration,
    /// Where the report goes.
    pub published: Arc<watch::Sender<HealthReport>>,
    /// Set when the socket is closed on purpose: what is found then is no news.
    pub draining: watch::Receiver<bool>,
}

/// One generation of the prober.
pub(crate) struct HealthActor {
    parts: HealthParts,
    api: Api,
    _lifeline: Lifeline,
}

/// What one round found.
struct Round {
    version: Result<(), String>,
    round_trip: Result<(), String>,
}

impl HealthActor {
    /// An actor that publishes to `parts`.
    pub(crate) fn new(parts: HealthParts, lifeline: Lifeline) -> Self {
        Self { parts, api: Api::V1, _lifeline: lifeline }
    }

    /// Version, then Encrypt and Decrypt, then Status: Status waits for the first report, so it comes last. Each
    /// round has a connection of its own, so it notices when clients can no longer connect.
    fn round(&mut self, ctx: &mut Context<Self>) {
        let (mut probe, api, limit) = ((self.parts.connect)(), self.api, self.parts.timeout);
        let probed = async move {
            let version = timeout(limit, probe.version()).await.unwrap_or_else(late);
            let round_trip = timeout(limit, probe.round_trip(api)).await.unwrap_or_else(late);
            (Round { version, round_trip }, probe)
        };
        ctx.spawn(wrap_future(probed).map(|(round, probe), actor: &mut Self, ctx| {
            actor.found(round, probe, ctx);
        }));
    }

    fn found(&mut self, Round { version, round_trip }: Round, probe: Probe, ctx: &mut Context<Self>) {
        let (api, round_trip_ok) = (self.api, round_trip.is_ok());
        self.api = api.other();
        let round_trip = round_trip.map_err(|reason| format!("{} {reason}", api.as_str()));
        self.report(|report| {
            // Status waits for the first report, so it cannot have its say in it
            if version.is_ok() && report.grpc_socket == Check::Unknown {
                report.grpc_socket.update(Ok(()));
            }
            report.round_trip(api).update(round_trip);
        });
        match version {
            Ok(()) => self.check_status(probe, round_trip_ok, ctx),
            failed => self.end_round(failed, round_trip_ok, ctx),
        }
    }

    fn check_status(&self, mut probe: Probe, round_trip_ok: bool, ctx: &mut Context<Self>) {
        let limit = self.parts.timeout;
        let probed = async move { timeout(limit, probe.status()).await.unwrap_or_else(late) };
        ctx.spawn(wrap_future(probed).map(move |status, actor: &mut Self, ctx| {
            actor.end_round(status, round_trip_ok, ctx);
        }));
    }

    fn end_round(&mut self, socket: Result<(), String>, round_trip_ok: bool, ctx: &mut Context<Self>) {
        let healthy = socket.is_ok() && round_trip_ok;
        self.report(|report| report.grpc_socket.update(socket));
        let healthy = healthy && self.parts.published.borrow().problem().is_none();
        let pause = if healthy { self.parts.interval } else { self.parts.interval.min(REPEAT_AFTER) };
        ctx.run_later(pause, Self::round);
    }

    /// Publishes one outcome, and logs when the report as a whole rises or falls.
    fn report(&self, update: impl FnOnce(&mut HealthReport)) {
        if *self.parts.draining.borrow() {
            return;
        }
        let before = self.parts.published.borrow().clone();
        let mut after = before.clone();
        update(&mut after);
        log_change(&before, &after);
        self.parts.published.send_replace(after);
    }
}

fn late<E>(_: E) -> Result<(), String> {
    Err("the health check's own time limit (--healthz-timeout) passed".into())
}

fn log_change(before: &HealthReport, after: &HealthReport) {
    if !after.is_complete() || before.problem() == after.problem() {
        return;
    }
    match after.problem() {
        None => tracing::info!(target: LIFECYCLE, "Healthy"),
        Some(problem) => tracing::error!(target: LIFECYCLE, err = problem, "Unhealthy"),
    }
}

impl Actor for HealthActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
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
mod tests {
    use super::*;

    const HEALTHY: Check = Check::Healthy { failures: 0 };

    fn failed() -> Result<(), String> {
        Err("down".into())
    }

    fn after(mut check: Check, outcomes: impl IntoIterator<Item = Result<(), String>>) -> Check {
        outcomes.into_iter().for_each(|outcome| check.update(outcome));
        check
    }

    #[test]
    fn a_check_that_never_was_healthy_fails_at_once() {
        assert_eq!(after(Check::Unknown, [failed()]), Check::Failed("down".into()));
    }

    #[test]
    fn a_healthy_check_survives_one_failure_and_falls_at_the_second() {
        assert!(after(HEALTHY, [failed()]).outcome().is_ok());
        assert_eq!(after(HEALTHY, [failed(), failed()]), Check::Failed("down".into()));
        assert!(after(HEALTHY, [failed(), Ok(()), failed()]).outcome().is_ok());
    }

    #[test]
    fn a_failed_check_rises_at_the_first_success() {
        assert_eq!(after(Check::Failed("down".into()), [Ok(())]), HEALTHY);
    }

    #[test]
    fn the_problem_names_the_check_and_its_reason() {
        let report = HealthReport { grpc_socket: HEALTHY, v1: Check::Failed("v1 down".into()), v2: HEALTHY };
        assert_eq!(report.problem().as_deref(), Some("key-vault: v1 down"));
        assert_eq!(HealthReport::default().problem().as_deref(), Some("grpc-socket: not probed yet"));
    }

    #[test]
    fn one_api_that_was_probed_is_enough_until_the_other_is() {
        let report = HealthReport { grpc_socket: HEALTHY, v1: HEALTHY, v2: Check::Unknown };
        assert_eq!((report.is_complete(), report.problem()), (true, None));
    }
}
