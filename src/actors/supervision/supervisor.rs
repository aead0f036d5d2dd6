//! The supervisor: starts its children, detects every end and every hang, restarts one for one, and gives up at a
//! limit.

use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message};
use tokio::sync::watch;
use tokio::time::Instant;

use super::child::{ActorStatus, Child, ChildSpec};
use super::liveness::WatchdogAction;
use super::protocol::{ActorName, ChildExited, Control, Reason};
use super::restart_policy::{RestartDecision, RestartPolicy};
use crate::config::{LimitAction, SupervisionConfig};
use crate::telemetry::{LIFECYCLE, Metrics};

/// The interval between two pings of a child. A child is hung after six of them without an answer
/// (`liveness::HUNG_AFTER`), that is 1.5 s, so that its replacement can still serve within kube-apiserver's timeout
/// of 3 s.
const PING_INTERVAL: Duration = Duration::from_millis(250);
/// The time between two ticks of the watchdog above which the whole process or machine was frozen, and no child
/// counts as hung.
const FROZEN_AFTER: Duration = Duration::from_millis(750);

/// The time that children have to report their end at a shutdown, before the supervisor stops.
const STOP_TIMEOUT: Duration = Duration::from_millis(20);

/// The state that the supervisor publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Supervision {
    /// Every child, in the order of starts.
    pub actors: Vec<ActorStatus>,
    /// Set when the restart limit was passed and the process must end: the actor that passed it, and its last
    /// failure.
    pub gave_up: Option<String>,
}

/// A request to stop every child, and then the supervisor.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Shutdown;

/// A request to make an actor fail. The answer is `false` when it does not run.
#[cfg(feature = "fault-injection")]
#[derive(Message)]
#[rtype(result = "bool")]
pub(crate) struct InjectFault(pub ActorName, pub super::protocol::Fault);

/// The supervisor of all actors of the process.
pub(crate) struct Supervisor {
    children: Vec<Child>,
    policy: RestartPolicy,
    at_limit: LimitAction,
    published: watch::Sender<Supervision>,
    metrics: Arc<Metrics>,
    last_tick: Instant,
    /// Set by [`Shutdown`]: nothing is restarted any more.
    is_stopping: bool,
}

impl Supervisor {
    /// Creates a supervisor of these children, each on a thread of its own. Returns it with the state that it
    /// publishes.
    pub(crate) fn new(
        specs: Vec<ChildSpec>,
        config: SupervisionConfig,
        metrics: Arc<Metrics>,
    ) -> (Self, watch::Receiver<Supervision>) {
        let (published, supervision) = watch::channel(Supervision::default());
        for spec in &specs {
            Reason::ALL
                .iter()
                .for_each(|reason| metrics.expect_restarts(spec.name.as_str(), reason.as_str()));
        }
        let supervisor = Self {
            children: specs.into_iter().map(Child::new).collect(),
            policy: RestartPolicy::new(config),
            at_limit: config.at_limit,
            published,
            metrics,
            last_tick: Instant::now(),
            is_stopping: false,
        };
        (supervisor, supervision)
    }

    fn child(&mut self, name: ActorName) -> Option<&mut Child> {
        self.children.iter_mut().find(|child| child.name == name)
    }

    fn start_child(&mut self, name: ActorName, ctx: &mut Context<Self>) {
        let supervisor = ctx.address().recipient();
        let Some(child) = self.child(name) else { return };
        match child.start(supervisor) {
            Ok(()) => {
                let generation = child.state.generation();
                tracing::info!(target: LIFECYCLE, actor = name.as_str(), generation, "Actor started");
            }
            Err(error) => self.child_failed(name, Reason::Error, &error, ctx),
        }
        self.publish();
    }

    /// Schedules the restart of a child that went down. Called once for each generation.
    fn child_failed(&mut self, name: ActorName, reason: Reason, detail: &str, ctx: &mut Context<Self>) {
        let Some(child) = self.child(name) else { return };
        child.abandon(reason);
        let (generation, uptime) = (child.state.generation(), child.uptime());
        let RestartDecision { pause, passed_limit } =
            self.policy.record_failure(name, uptime, Instant::now());
        let (actor, reason) = (name.as_str(), reason.as_str());
        let restart_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        tracing::error!(target: LIFECYCLE, actor, generation, reason, restart_in_ms, err = detail, "Actor failed");
        self.metrics.actor_restarted(actor, reason);
        ctx.run_later(pause, move |supervisor, ctx| supervisor.restart(name, generation, ctx));
        if let Some(limit) = passed_limit {
            self.give_up_or_retry(
                actor,
                &limit,
                format!("the actor {actor} kept failing: {reason}: {detail}"),
            );
        }
        self.publish();
    }

    fn restart(&mut self, name: ActorName, failed: u64, ctx: &mut Context<Self>) {
        if !self.is_stopping && self.child(name).is_some_and(|child| child.state.is_restart_due(failed)) {
            self.start_child(name, ctx);
        }
    }

    /// Acts on a passed limit. Children are restarted until the shutdown in any case: calls that are drained still
    /// need them.
    fn give_up_or_retry(&mut self, actor: &'static str, limit: &str, why: String) {
        match self.at_limit {
            LimitAction::Retry => {
                tracing::error!(target: LIFECYCLE, actor, limit, "Restart limit passed, going on slowly");
            }
            LimitAction::Exit if self.published.borrow().gave_up.is_some() => {}
            LimitAction::Exit => {
                tracing::error!(target: LIFECYCLE, actor, limit, "Restart limit passed, giving up");
                self.published.send_modify(|supervision| supervision.gave_up = Some(why));
            }
        }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        if self.is_stopping {
            return;
        }
        if self.last_tick.elapsed() > FROZEN_AFTER {
            self.children.iter_mut().for_each(|child| child.state.reset_unanswered());
        }
        self.last_tick = Instant::now();
        self.check_children(ctx);
        ctx.run_later(PING_INTERVAL, Self::tick);
    }

    fn check_children(&mut self, ctx: &mut Context<Self>) {
        let names: Vec<ActorName> = self.children.iter().map(|child| child.name).collect();
        for name in names {
            let Some(child) = self.child(name) else { continue };
            match child.state.tick() {
                WatchdogAction::Ping(generation) => ping(child, generation, ctx),
                WatchdogAction::Wait => {}
                WatchdogAction::Hung => {
                    self.child_failed(name, Reason::Hung, "no answer to the watchdog", ctx)
                }
            }
        }
    }

    fn publish(&self) {
        let actors = self.children.iter().map(Child::status).collect();
        self.published.send_modify(|supervision| supervision.actors = actors);
    }
}

fn ping(child: &Child, generation: u64, ctx: &mut Context<Supervisor>) {
    let Some(control) = child.control.clone() else { return };
    let name = child.name;
    let answer = wrap_future(async move { control.send(Control::Ping).await });
    ctx.spawn(answer.map(move |answer, supervisor: &mut Supervisor, _| {
        if let (Ok(()), Some(child)) = (answer, supervisor.child(name)) {
            child.record_answer(generation);
        }
    }));
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let names: Vec<ActorName> = self.children.iter().map(|child| child.name).collect();
        names.into_iter().for_each(|name| self.start_child(name, ctx));
        self.last_tick = Instant::now();
        ctx.run_later(PING_INTERVAL, Self::tick);
    }
}

impl Handler<ChildExited> for Supervisor {
    type Result = ();

    fn handle(&mut self, exited: ChildExited, ctx: &mut Self::Context) {
        let ChildExited { name, generation, reason } = exited;
        if self.is_stopping {
            tracing::info!(target: LIFECYCLE, actor = name.as_str(), generation, "Actor terminated");
            self.child(name).map(|child| child.state.record_end(generation));
            if !self.children.iter().any(|child| child.state.is_up()) {
                ctx.stop();
            }
        } else if self.child(name).is_some_and(|child| child.state.record_end(generation)) {
            self.child_failed(name, reason, "the actor ended", ctx);
        }
    }
}

impl Handler<Shutdown> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Self::Context) {
        self.is_stopping = true;
        for child in &mut self.children {
            child.stop();
        }
        // a hung child does not report its end
        ctx.run_later(STOP_TIMEOUT, |_, ctx| ctx.stop());
    }
}

#[cfg(feature = "fault-injection")]
impl Handler<InjectFault> for Supervisor {
    type Result = bool;

    fn handle(&mut self, InjectFault(name, fault): InjectFault, _: &mut Self::Context) -> bool {
        let Some(child) = self.child(name) else { return false };
        let Some(control) = child.control.as_ref() else { return false };
        control.do_send(Control::InjectFault(fault));
        child.is_next_start_failing |= fault == super::protocol::Fault::Error;
        true
    }
}

#[cfg(test)]
mod tests;
