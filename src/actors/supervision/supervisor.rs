//! The supervisor: starts its children, learns of every end and of every hang, restarts one for one, gives up loudly.

use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message};
use tokio::sync::watch;
use tokio::time::Instant;

use super::child::{ActorStatus, Child, ChildSpec};
use super::liveness::WatchdogAction;
use super::protocol::{ActorName, ChildExited, Control, Reason};
use super::restart_policy::{RestartPolicy, Verdict};
use crate::config::{LimitAction, SupervisionConfig};
use crate::telemetry::{LIFECYCLE, Metrics};

/// How often each child is pinged. Six of them without an answer (`life::HUNG_AFTER`) are 1.5 s, so that the
/// replacement of a hung child can still serve within kube-apiserver's timeout of 3 s.
const PING_INTERVAL: Duration = Duration::from_millis(250);
/// A watchdog that comes later than this was stopped itself, with the whole process or machine: nobody is hung.
const FROZEN_AFTER: Duration = Duration::from_millis(750);

/// How long children may take to stop.
const LAST_WORDS: Duration = Duration::from_millis(20);

/// What the supervisor publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Supervision {
    /// Every child, in starting order.
    pub actors: Vec<ActorStatus>,
    /// The restart limit was passed, and the process must end: who passed it, and why it failed last.
    pub gave_up: Option<String>,
}

/// Stop every child and then yourself.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Shutdown;

/// Make an actor misbehave. Answers whether it runs, and so will.
#[cfg(feature = "fault-injection")]
#[derive(Message)]
#[rtype(result = "bool")]
pub(crate) struct InjectFault(pub ActorName, pub super::protocol::Fault);

/// One supervisor for all actors of the process.
pub(crate) struct Supervisor {
    children: Vec<Child>,
    policy: RestartPolicy,
    at_limit: LimitAction,
    published: watch::Sender<Supervision>,
    metrics: Arc<Metrics>,
    last_watch: Instant,
    /// Nothing is restarted any more.
    stopping: bool,
    /// The children were told to stop.
    shut_down: bool,
}

impl Supervisor {
    /// A supervisor of these children, each on a thread of its own, and what it will publish.
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
            last_watch: Instant::now(),
            stopping: false,
            shut_down: false,
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
                let generation = child.life.generation();
                tracing::info!(target: LIFECYCLE, actor = name.as_str(), generation, "Actor started");
            }
            Err(error) => self.child_failed(name, Reason::Error, &error, ctx),
        }
        self.publish();
    }

    /// Called once for each generation, when it is down.
    fn child_failed(&mut self, name: ActorName, reason: Reason, detail: &str, ctx: &mut Context<Self>) {
        let Some(child) = self.child(name) else { return };
        child.detach(reason);
        let (generation, lived) = (child.life.generation(), child.lived());
        let Verdict { pause, passed } = self.policy.failed(name, lived, Instant::now());
        let (actor, reason) = (name.as_str(), reason.as_str());
        let restart_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        tracing::error!(target: LIFECYCLE, actor, generation, reason, restart_in_ms, err = detail, "Actor failed");
        self.metrics.actor_restarted(actor, reason);
        ctx.run_later(pause, move |supervisor, ctx| supervisor.restart(name, generation, ctx));
        if let Some(limit) = passed {
            self.limit_passed(actor, &limit, format!("the actor {actor} kept failing: {reason}: {detail}"));
        }
        self.publish();
    }

    fn restart(&mut self, name: ActorName, failed: u64, ctx: &mut Context<Self>) {
        if !self.stopping && self.child(name).is_some_and(|child| child.life.restart_is_due(failed)) {
            self.start_child(name, ctx);
        }
    }

    /// Children are restarted until the shutdown all the same: calls that are drained still need them.
    fn limit_passed(&mut self, actor: &'static str, limit: &str, why: String) {
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

    fn watchdog(&mut self, ctx: &mut Context<Self>) {
        if self.stopping {
            return;
        }
        if self.last_watch.elapsed() > FROZEN_AFTER {
            self.children.iter_mut().for_each(|child| child.life.forgive());
        }
        self.last_watch = Instant::now();
        self.watch_over_children(ctx);
        ctx.run_later(PING_INTERVAL, Self::watchdog);
    }

    fn watch_over_children(&mut self, ctx: &mut Context<Self>) {
        let names: Vec<ActorName> = self.children.iter().map(|child| child.name).collect();
        for name in names {
            let Some(child) = self.child(name) else { continue };
            match child.life.watch() {
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
            child.answered(generation);
        }
    }));
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let names: Vec<ActorName> = self.children.iter().map(|child| child.name).collect();
        names.into_iter().for_each(|name| self.start_child(name, ctx));
        self.last_watch = Instant::now();
        ctx.run_later(PING_INTERVAL, Self::watchdog);
    }
}

impl Handler<ChildExited> for Supervisor {
    type Result = ();

    fn handle(&mut self, ended: ChildExited, ctx: &mut Self::Context) {
        let ChildExited { name, generation, reason } = ended;
        if self.stopping {
            tracing::info!(target: LIFECYCLE, actor = name.as_str(), generation, "Actor terminated");
            self.child(name).map(|child| child.life.end(generation));
            if self.shut_down && !self.children.iter().any(|child| child.life.is_up()) {
                ctx.stop();
            }
        } else if self.child(name).is_some_and(|child| child.life.end(generation)) {
            self.child_failed(name, reason, "the actor ended", ctx);
        }
    }
}

impl Handler<Shutdown> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Self::Context) {
        (self.stopping, self.shut_down) = (true, true);
        for child in &mut self.children {
            child.stop();
        }
        // the children's last words come before the supervisor's own end; a hung one has none
        ctx.run_later(LAST_WORDS, |_, ctx| ctx.stop());
    }
}

#[cfg(feature = "fault-injection")]
impl Handler<InjectFault> for Supervisor {
    type Result = bool;

    fn handle(&mut self, InjectFault(name, fault): InjectFault, _: &mut Self::Context) -> bool {
        let Some(child) = self.child(name) else { return false };
        let Some(control) = child.control.as_ref() else { return false };
        control.do_send(Control::Misbehave(fault));
        child.next_start_fails |= fault == super::protocol::Fault::Error;
        true
    }
}

#[cfg(test)]
mod tests;
