//! The supervisor: starts its children, learns of every end and of every hang, restarts one for one, gives up loudly.

use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, Recipient};
use actix_rt::{Arbiter, ArbiterHandle};
use tokio::sync::watch;
use tokio::time::Instant;

use super::control::{ActorName, Control, Ended, Lifeline, Reason};
use super::restart_policy::{INTENSITY, PERIOD, RestartPolicy};
use crate::telemetry::{LIFECYCLE, Metrics};

/// How often each child is pinged.
const PING_INTERVAL: Duration = Duration::from_millis(250);
/// A child that owes an answer for so many intervals is hung: 1.5 s, so that its replacement can still serve within
/// kube-apiserver's timeout of 3 s.
const HUNG_AFTER: u32 = 6;
/// A watchdog that comes later than this was stopped itself, with the whole process or machine: nobody is hung.
const FROZEN_AFTER: Duration = Duration::from_millis(750);

/// Starts one generation of an actor on that arbiter. Also called again after every failure, and starts afresh.
pub(crate) type Factory = Box<dyn Fn(&ArbiterHandle, Lifeline) -> Result<Recipient<Control>, String>>;

/// An actor to supervise.
pub(crate) struct ChildSpec {
    /// Its name.
    pub name: ActorName,
    /// How to start it.
    pub start: Factory,
}

/// What the supervisor knows of one child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ActorStatus {
    /// Its name.
    pub name: ActorName,
    /// Whether it runs now.
    pub running: bool,
    /// How often it was started.
    pub generation: u64,
}

/// What the supervisor publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Supervision {
    /// Every child, in starting order.
    pub actors: Vec<ActorStatus>,
    /// The restart limit was passed: the process must end.
    pub gave_up: bool,
}

/// Stop every child and then yourself.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Shutdown;

/// Make an actor misbehave.
#[cfg(feature = "fault-injection")]
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct InjectFault(pub ActorName, pub super::control::Fault);

struct Child {
    spec: ChildSpec,
    arbiter: Arbiter,
    generation: u64,
    control: Option<Recipient<Control>>,
    /// Ping intervals since the last answer, while a ping is out.
    unanswered: Option<u32>,
}

/// One supervisor for all actors of the process.
pub(crate) struct Supervisor {
    children: Vec<Child>,
    policy: RestartPolicy,
    published: watch::Sender<Supervision>,
    metrics: Arc<Metrics>,
    last_watch: Instant,
    stopping: bool,
}

impl Supervisor {
    /// A supervisor of these children, each on a thread of its own, and what it will publish.
    pub(crate) fn new(specs: Vec<ChildSpec>, metrics: Arc<Metrics>) -> (Self, watch::Receiver<Supervision>) {
        let (published, supervision) = watch::channel(Supervision::default());
        for spec in &specs {
            Reason::ALL
                .iter()
                .for_each(|reason| metrics.expect_restarts(spec.name.as_str(), reason.as_str()));
        }
        let children = specs.into_iter().map(Child::new).collect();
        let policy = RestartPolicy::default();
        let last_watch = Instant::now();
        (Self { children, policy, published, metrics, last_watch, stopping: false }, supervision)
    }

    fn child(&mut self, name: ActorName) -> Option<&mut Child> {
        self.children.iter_mut().find(|child| child.spec.name == name)
    }

    fn start_child(&mut self, name: ActorName, ctx: &mut Context<Self>) {
        let supervisor = ctx.address().recipient();
        let Some(child) = self.child(name) else { return };
        match child.start(supervisor) {
            Ok(()) => {
                let generation = child.generation;
                tracing::info!(target: LIFECYCLE, actor = name.as_str(), generation, "Actor started");
            }
            Err(error) => self.child_failed(name, Reason::Error, &error, ctx),
        }
        self.publish();
    }

    fn child_failed(&mut self, name: ActorName, reason: Reason, detail: &str, ctx: &mut Context<Self>) {
        let Some(child) = self.child(name) else { return };
        child.detach(reason);
        let (actor, generation, reason) = (name.as_str(), child.generation, reason.as_str());
        let Some(delay) = self.policy.restart_after(Instant::now()) else {
            return self.give_up(actor, generation, reason, detail);
        };
        let restart_in_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        tracing::error!(target: LIFECYCLE, actor, generation, reason, restart_in_ms, err = detail, "Actor failed");
        self.metrics.actor_restarted(actor, reason);
        ctx.run_later(delay, move |supervisor, ctx| {
            if !supervisor.stopping {
                supervisor.start_child(name, ctx);
            }
        });
        self.publish();
    }

    fn give_up(&mut self, actor: &'static str, generation: u64, reason: &'static str, detail: &str) {
        let limit = format!("more than {INTENSITY} restarts in {} s", PERIOD.as_secs());
        tracing::error!(target: LIFECYCLE, actor, generation, reason, err = detail, limit, "Actor failed, giving up");
        self.stopping = true;
        self.published.send_modify(|supervision| supervision.gave_up = true);
    }

    fn watchdog(&mut self, ctx: &mut Context<Self>) {
        if self.stopping {
            return;
        }
        if self.last_watch.elapsed() > FROZEN_AFTER {
            self.children.iter_mut().for_each(Child::forgive);
        }
        self.last_watch = Instant::now();
        self.watch_over_children(ctx);
        ctx.run_later(PING_INTERVAL, Self::watchdog);
    }

    fn watch_over_children(&mut self, ctx: &mut Context<Self>) {
        let names: Vec<ActorName> = self.children.iter().map(|child| child.spec.name).collect();
        for name in names {
            let Some(child) = self.child(name) else { continue };
            match child.unanswered.as_mut() {
                None => ping(child, ctx),
                Some(intervals) => {
                    *intervals += 1;
                    if *intervals >= HUNG_AFTER {
                        self.child_failed(name, Reason::Hung, "no answer to the watchdog", ctx);
                    }
                }
            }
        }
    }

    fn publish(&self) {
        let actors = self.children.iter().map(Child::status).collect();
        self.published.send_modify(|supervision| supervision.actors = actors);
    }
}

fn ping(child: &mut Child, ctx: &mut Context<Supervisor>) {
    let Some(control) = child.control.clone() else { return };
    let (name, generation) = (child.spec.name, child.generation);
    child.unanswered = Some(0);
    let answer = wrap_future(async move { control.send(Control::Ping).await });
    ctx.spawn(answer.map(move |answer, supervisor: &mut Supervisor, _| {
        let pinged = supervisor.child(name).filter(|child| child.generation == generation);
        if let (Ok(()), Some(child)) = (answer, pinged) {
            child.unanswered = None;
        }
    }));
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let names: Vec<ActorName> = self.children.iter().map(|child| child.spec.name).collect();
        names.into_iter().for_each(|name| self.start_child(name, ctx));
        self.last_watch = Instant::now();
        ctx.run_later(PING_INTERVAL, Self::watchdog);
    }
}

impl Handler<Ended> for Supervisor {
    type Result = ();

    fn handle(&mut self, ended: Ended, ctx: &mut Self::Context) {
        let (actor, generation) = (ended.name.as_str(), ended.generation);
        if self.stopping {
            tracing::info!(target: LIFECYCLE, actor, generation, "Actor terminated");
            return;
        }
        // a child that was given up as hung may end much later: that is no news
        if self
            .child(ended.name)
            .is_some_and(|child| child.generation == ended.generation && child.control.is_some())
        {
            self.child_failed(ended.name, ended.reason, "the actor ended", ctx);
        }
    }
}

impl Handler<Shutdown> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Self::Context) {
        self.stopping = true;
        for child in &mut self.children {
            child.stop();
        }
        // the children's last words come before the supervisor's own end
        ctx.run_later(Duration::from_millis(20), |_, ctx| ctx.stop());
    }
}

#[cfg(feature = "fault-injection")]
impl Handler<InjectFault> for Supervisor {
    type Result = ();

    fn handle(&mut self, InjectFault(name, fault): InjectFault, _: &mut Self::Context) {
        if let Some(control) = self.child(name).and_then(|child| child.control.as_ref()) {
            control.do_send(Control::Misbehave(fault));
        }
    }
}

impl Child {
    fn new(spec: ChildSpec) -> Self {
        Self { spec, arbiter: Arbiter::new(), generation: 0, control: None, unanswered: None }
    }

    fn start(&mut self, supervisor: Recipient<Ended>) -> Result<(), String> {
        self.generation += 1;
        let lifeline = Lifeline::new(self.spec.name, self.generation, supervisor);
        self.control = Some((self.spec.start)(&self.arbiter.handle(), lifeline)?);
        Ok(())
    }

    /// Forgets a failed generation. A hung one may hold its thread, so the next one gets a new thread; the old one
    /// ends with everything on it as soon as it comes back.
    fn detach(&mut self, reason: Reason) {
        self.control = None;
        self.unanswered = None;
        if reason == Reason::Hung {
            std::mem::replace(&mut self.arbiter, Arbiter::new()).stop();
        }
    }

    /// Starts counting anew.
    fn forgive(&mut self) {
        self.unanswered = self.unanswered.map(|_| 0);
    }

    fn stop(&mut self) {
        if let Some(control) = self.control.take() {
            control.do_send(Control::Stop);
        }
    }

    fn status(&self) -> ActorStatus {
        ActorStatus { name: self.spec.name, running: self.control.is_some(), generation: self.generation }
    }
}

#[cfg(test)]
mod tests;
