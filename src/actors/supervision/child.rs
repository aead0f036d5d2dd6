//! One supervised child: its factory, its thread, and its state.

use std::time::Duration;

use actix::Recipient;
use actix_rt::{Arbiter, ArbiterHandle};
use tokio::time::Instant;

use super::liveness::ChildState;
use super::protocol::{Abandoned, ActorName, ChildExited, Control, Lifeline, Reason};

/// A function that starts one generation of an actor on an arbiter. Called again for every restart.
pub(crate) type Factory = Box<dyn Fn(&ArbiterHandle, Lifeline) -> Result<Recipient<Control>, String>>;

/// An actor to supervise.
pub(crate) struct ChildSpec {
    /// The name of the actor.
    pub name: ActorName,
    /// The factory of its generations.
    pub start: Factory,
}

/// The published status of one child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ActorStatus {
    /// The name of the actor.
    pub name: ActorName,
    /// `true` while a generation runs, `false` between a failure and the restart.
    pub is_running: bool,
    /// The number of starts.
    pub generation: u64,
    /// The reason of the last failure; `None` if there was none.
    pub last_reason: Option<Reason>,
}

/// A child across all its generations.
pub(super) struct Child {
    pub(super) name: ActorName,
    pub(super) state: ChildState,
    /// The address of the running generation.
    pub(super) control: Option<Recipient<Control>>,
    start: Factory,
    arbiter: Arbiter,
    abandoned: Abandoned,
    started: Instant,
    last_answer: Instant,
    last_reason: Option<Reason>,
    #[cfg(feature = "fault-injection")]
    pub(super) is_next_start_failing: bool,
}

impl Child {
    pub(super) fn new(spec: ChildSpec) -> Self {
        Self {
            name: spec.name,
            state: ChildState::default(),
            control: None,
            start: spec.start,
            arbiter: Arbiter::new(),
            abandoned: Abandoned::default(),
            started: Instant::now(),
            last_answer: Instant::now(),
            last_reason: None,
            #[cfg(feature = "fault-injection")]
            is_next_start_failing: false,
        }
    }

    /// Starts the next generation.
    ///
    /// # Errors
    /// The error of the factory. The generation counts as ended then.
    pub(super) fn start(&mut self, supervisor: Recipient<ChildExited>) -> Result<(), String> {
        self.started = Instant::now();
        self.last_answer = self.started;
        let generation = self.state.start();
        let lifeline = Lifeline::new(self.name, generation, supervisor);
        self.abandoned = lifeline.abandoned();
        let started = self.start_with(lifeline);
        if started.is_err() {
            self.state.record_end(generation);
        }
        self.control = Some(started?);
        Ok(())
    }

    /// Calls the factory, unless a fault was injected into this start.
    ///
    /// # Errors
    /// The error of the factory, or of the fault.
    fn start_with(&mut self, lifeline: Lifeline) -> Result<Recipient<Control>, String> {
        #[cfg(feature = "fault-injection")]
        if std::mem::take(&mut self.is_next_start_failing) {
            return Err("injected fault".to_owned());
        }
        (self.start)(&self.arbiter.handle(), lifeline)
    }

    /// Records that a generation answered the watchdog.
    pub(super) fn record_answer(&mut self, generation: u64) {
        if self.state.record_answer(generation) {
            self.last_answer = Instant::now();
        }
    }

    /// Returns the time from the start of the newest generation to its last answer to the watchdog.
    pub(super) fn uptime(&self) -> Duration {
        self.last_answer.duration_since(self.started)
    }

    /// Abandons a failed generation. A hung one may block its thread, so the next one gets a new thread; the old one
    /// ends, with everything on it, soon after it resumes, and publishes nothing until then.
    pub(super) fn abandon(&mut self, reason: Reason) {
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
            is_running: self.state.is_up(),
            generation: self.state.generation(),
            last_reason: self.last_reason,
        }
    }
}
