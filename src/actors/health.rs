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
    Healthy,
    /// Failed, for that reason. Fit for API users.
    Failed(String),
}

impl Check {
    /// Rises at the first success; falls at the second failure in a row, or at once if it never was healthy.
    fn update(&mut self, failures: &mut u32, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => {
                *failures = 0;
                *self = Self::Healthy;
            }
            Err(reason) => {
                *failures += 1;
                if *self != Self::Healthy || *failures >= FALLS_AFTER {
                    *self = Self::Failed(reason);
                }
            }
        }
    }
}

/// What the probes found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HealthReport {
    /// Version and Status answer on the socket.
    pub grpc_socket: Check,
    /// Encrypt and Decrypt give back what was put in.
    pub key_vault: Check,
}

impl HealthReport {
    /// Whether Key Vault was probed at least once.
    pub(crate) fn is_complete(&self) -> bool {
        self.key_vault != Check::Unknown
    }

    /// Why the plugin is not healthy; `None` when it is.
    pub(crate) fn problem(&self) -> Option<String> {
        [("grpc-socket", &self.grpc_socket), ("key-vault", &self.key_vault)].into_iter().find_map(
            |(name, check)| match check {
                Check::Healthy => None,
                Check::Unknown => Some(format!("{name}: not probed yet")),
                Check::Failed(reason) => Some(format!("{name}: {reason}")),
            },
        )
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
}

/// One generation of the prober.
pub(crate) struct HealthActor {
    parts: HealthParts,
    probe: Probe,
    api: Api,
    socket_failures: u32,
    key_vault_failures: u32,
    _lifeline: Lifeline,
}

impl HealthActor {
    /// An actor that publishes to `parts`. Must be called on the actor's thread.
    pub(crate) fn new(parts: HealthParts, lifeline: Lifeline) -> Self {
        let probe = (parts.connect)();
        Self { parts, probe, api: Api::V1, socket_failures: 0, key_vault_failures: 0, _lifeline: lifeline }
    }

    /// Version, then Encrypt and Decrypt, then Status: Status waits for the first report, so it comes last.
    fn round(&mut self, ctx: &mut Context<Self>) {
        let (mut probe, api, limit) = (self.probe.clone(), self.api, self.parts.timeout);
        let probed = async move {
            let version = timeout(limit, probe.version()).await.unwrap_or_else(late);
            let round_trip = timeout(limit, probe.round_trip(api)).await.unwrap_or_else(late);
            (version, round_trip)
        };
        ctx.spawn(wrap_future(probed).map(|(version, round_trip), actor: &mut Self, ctx| {
            let reached = version.is_ok();
            actor.report(version, |report, actor, outcome| {
                report.grpc_socket.update(&mut actor.socket_failures, outcome);
            });
            let key_vault_ok = round_trip.is_ok();
            actor.report(round_trip, |report, actor, outcome| {
                report.key_vault.update(&mut actor.key_vault_failures, outcome);
            });
            if key_vault_ok {
                actor.api = actor.api.other(); // a failing API is probed until it works
            }
            actor.finish_round(reached, key_vault_ok, ctx);
        }));
    }

    fn finish_round(&mut self, reached: bool, key_vault_ok: bool, ctx: &mut Context<Self>) {
        let (mut probe, limit) = (self.probe.clone(), self.parts.timeout);
        let probed = async move { timeout(limit, probe.status()).await.unwrap_or_else(late) };
        ctx.spawn(wrap_future(probed).map(move |status, actor: &mut Self, ctx| {
            let all_ok = reached && key_vault_ok && status.is_ok();
            if reached {
                actor.report(status, |report, actor, outcome| {
                    report.grpc_socket.update(&mut actor.socket_failures, outcome);
                });
            }
            let pause = if all_ok { actor.parts.interval } else { actor.parts.interval.min(REPEAT_AFTER) };
            ctx.run_later(pause, Self::round);
        }));
    }

    /// Publishes one outcome, and logs when the report as a whole rises or falls.
    fn report(
        &mut self,
        outcome: Result<(), String>,
        update: impl FnOnce(&mut HealthReport, &mut Self, Result<(), String>),
    ) {
        let before = self.parts.published.borrow().clone();
        let mut after = before.clone();
        update(&mut after, self, outcome);
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

    fn failed() -> Result<(), String> {
        Err("down".into())
    }

    #[test]
    fn a_check_that_never_was_healthy_fails_at_once() {
        let (mut check, mut failures) = (Check::Unknown, 0);
        check.update(&mut failures, failed());
        assert_eq!(check, Check::Failed("down".into()));
    }

    #[test]
    fn a_healthy_check_survives_one_failure_and_falls_at_the_second() {
        let (mut check, mut failures) = (Check::Healthy, 0);
        check.update(&mut failures, failed());
        assert_eq!(check, Check::Healthy);
        check.update(&mut failures, failed());
        assert_eq!(check, Check::Failed("down".into()));
    }

    #[test]
    fn a_failed_check_rises_at_the_first_success_and_has_two_failures_again() {
        let (mut check, mut failures) = (Check::Failed("down".into()), 5);
        check.update(&mut failures, Ok(()));
        check.update(&mut failures, failed());
        assert_eq!(check, Check::Healthy);
    }

    #[test]
    fn the_problem_names_the_check_and_its_reason() {
        let report = HealthReport { grpc_socket: Check::Healthy, key_vault: Check::Failed("down".into()) };
        assert_eq!(report.problem().as_deref(), Some("key-vault: down"));
        assert_eq!(HealthReport::default().problem().as_deref(), Some("grpc-socket: not probed yet"));
    }
}
