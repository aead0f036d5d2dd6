//! One supervised child: how it is started, its thread, and what is known of it.

use std::time::Duration;

use actix::Recipient;
use actix_rt::{Arbiter, ArbiterHandle};
use tokio::time::Instant;

use super::liveness::ChildState;
use super::protocol::{Abandoned, ActorName, ChildExited, Control, Lifeline, Reason};

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
    /// Why it ended last; `None` when it never did.
    pub last_reason: Option<Reason>,
}

/// A child in all its generations.
pub(super) struct Child {
    pub(super) name: ActorName,
    pub(super) life: ChildState,
    /// How to reach the generation that runs.
    pub(super) control: Option<Recipient<Control>>,
    start: Factory,
    arbiter: Arbiter,
    abandoned: Abandoned,
    started: Instant,
    last_sign: Instant,
    last_reason: Option<Reason>,
    #[cfg(feature = "fault-injection")]
    pub(super) next_start_fails: bool,
}

impl Child {
    pub(super) fn new(spec: ChildSpec) -> Self {
        Self {
            name: spec.name,
            life: ChildState::default(),
            control: None,
            start: spec.start,
            arbiter: Arbiter::new(),
            abandoned: Abandoned::default(),
            started: Instant::now(),
            last_sign: Instant::now(),
            last_reason: None,
            #[cfg(feature = "fault-injection")]
            next_start_fails: false,
        }
    }

    /// Starts the next generation. One that cannot be started has ended with this call.
    pub(super) fn start(&mut self, supervisor: Recipient<ChildExited>) -> Result<(), String> {
        self.started = Instant::now();
        self.last_sign = self.started;
        let generation = self.life.begin();
        let lifeline = Lifeline::new(self.name, generation, supervisor);
        self.abandoned = lifeline.abandoned();
        let started = self.start_with(lifeline);
        if started.is_err() {
            self.life.end(generation);
        }
        self.control = Some(started?);
        Ok(())
    }

    fn start_with(&mut self, lifeline: Lifeline) -> Result<Recipient<Control>, String> {
        #[cfg(feature = "fault-injection")]
        if std::mem::take(&mut self.next_start_fails) {
            return Err("injected fault".to_owned());
        }
        (self.start)(&self.arbiter.handle(), lifeline)
    }

    /// That generation has answered the watchdog.
    pub(super) fn answered(&mut self, generation: u64) {
        if self.life.answered(generation) {
            self.last_sign = Instant::now();
        }
    }

    /// How long the latest generation has worked, as far as it is known to have.
    pub(super) fn lived(&self) -> Duration {
        self.last_sign.duration_since(self.started)
    }

    /// Lets go of a failed generation. A hung one may hold its thread, so the next one gets a new thread; the old one
    /// ends with everything on it soon after it comes back, and publishes nothing until then.
    pub(super) fn detach(&mut self, reason: Reason) {
        self.abandoned.set();
        self.control = None;
        self.last_reason = Some(reason);
        if reason == Reason::Hung {
            std::mem::replace(&mut self.arbiter, Arbiter::new()).stop();
        }
    }

    pub(super) fn stop(&mut self) {
        if let Some(control) = self.control.take() {
            control.do_send(Control::Stop);
        }
    }

    pub(super) fn status(&self) -> ActorStatus {
        ActorStatus {
            name: self.name,
            running: self.life.is_up(),
            generation: self.life.generation(),
            last_reason: self.last_reason,
        }
    }
}
