//! The environment of the code under test: the faults it injects, the true state of each generation, and the
//! watchdog's timer.

use std::collections::BTreeSet;
use std::sync::Mutex as GhostMutex;

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::{Condvar, Mutex};

/// The next step of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Handle the message.
    Work,
    /// Drop the job, as when it panics, and go on.
    DropJob,
    /// End, as by a panic or a stop.
    End,
    /// Handle no message any more, though the jobs go on.
    Stall,
    /// Block the thread, for a while or for ever.
    Block,
}

/// The true state, which only assertions read. Its mutex is no scheduling point.
#[derive(Default)]
struct GhostState {
    faults: u32,
    is_job_dropped: bool,
    /// Generations that have ended, or that the supervisor takes for ended.
    ended: BTreeSet<u64>,
    failed: BTreeSet<u64>,
    /// The calls whose callers do not wait any more.
    completed: BTreeSet<u64>,
}

/// The timer of the watchdog: it ticks while an actor is unresponsive, and a few times more.
struct Timer {
    unresponsive: BTreeSet<u64>,
    spurious_ticks: u32,
    is_tick_pending: bool,
    is_done: bool,
}

pub(crate) struct Environment {
    ghost: GhostMutex<GhostState>,
    timer: Mutex<Timer>,
    changed: Condvar,
}

impl Environment {
    /// Creates an environment that injects at most `faults` faults, and ticks at most `spurious_ticks` times while
    /// every actor is responsive.
    pub(crate) fn new(faults: u32, spurious_ticks: u32) -> Self {
        let timer =
            Timer { unresponsive: BTreeSet::new(), spurious_ticks, is_tick_pending: false, is_done: false };
        let ghost = GhostState { faults, ..GhostState::default() };
        Self { ghost: GhostMutex::new(ghost), timer: Mutex::new(timer), changed: Condvar::new() }
    }

    /// Chooses the next step of an actor.
    pub(crate) fn next_step(&self) -> Step {
        let mut ghost = self.ghost.lock().unwrap();
        if ghost.faults == 0 || thread_rng().gen_bool(0.5) {
            return Step::Work;
        }
        let step = [Step::DropJob, Step::End, Step::Stall, Step::Block][thread_rng().gen_range(0..4)];
        if step == Step::DropJob && std::mem::replace(&mut ghost.is_job_dropped, true) {
            return Step::Work; // a job that is dropped again and again ends with an error, as it should
        }
        ghost.faults -= 1;
        step
    }

    /// Chooses whether a start fails.
    pub(crate) fn is_start_failing(&self) -> bool {
        let mut ghost = self.ghost.lock().unwrap();
        let is_failing = ghost.faults > 0 && thread_rng().gen_bool(0.25);
        ghost.faults -= u32::from(is_failing);
        is_failing
    }

    /// Asserts that every earlier generation has ended or counts as hung when the supervisor starts one.
    pub(crate) fn check_start(&self, generation: u64) {
        let ghost = self.ghost.lock().unwrap();
        let running: Vec<u64> = (1..generation).filter(|earlier| !ghost.ended.contains(earlier)).collect();
        assert!(running.is_empty(), "{generation} starts while {running:?} run");
    }

    /// Records that a generation has ended.
    pub(crate) fn record_end(&self, generation: u64) {
        self.ghost.lock().unwrap().ended.insert(generation);
    }

    /// Records that the supervisor takes a generation for failed, and asserts that it does so once.
    pub(crate) fn record_failure(&self, generation: u64) {
        let mut ghost = self.ghost.lock().unwrap();
        assert!(ghost.failed.insert(generation), "{generation} failed twice");
        ghost.ended.insert(generation);
        drop(ghost);
        self.mark_responsive(generation);
    }

    /// Records that the caller does not wait any more, and asserts that this happens once.
    pub(crate) fn complete(&self, call: u64) {
        let is_first = self.ghost.lock().unwrap().completed.insert(call);
        assert!(is_first, "call {call} was answered twice");
    }

    /// Asserts that the caller still waits while an actor works on its call.
    pub(crate) fn check_work(&self, call: u64) {
        let is_completed = self.ghost.lock().unwrap().completed.contains(&call);
        assert!(!is_completed, "an actor works on call {call} after its end");
    }

    /// Records that a generation does not answer, so the watchdog must tick unless the supervisor knows already.
    pub(crate) fn mark_unresponsive(&self, generation: u64) {
        let mut timer = self.timer.lock().unwrap();
        if !self.ghost.lock().unwrap().failed.contains(&generation) {
            timer.unresponsive.insert(generation);
        }
        drop(timer);
        self.changed.notify_all();
    }

    pub(crate) fn mark_responsive(&self, generation: u64) {
        self.timer.lock().unwrap().unresponsive.remove(&generation);
    }

    /// Waits for the next tick of the watchdog. Returns `false` when the test is over.
    pub(crate) fn next_tick(&self) -> bool {
        let is_idle = |timer: &mut Timer| {
            !timer.is_done
                && (timer.is_tick_pending || timer.unresponsive.is_empty() && timer.spurious_ticks == 0)
        };
        let timer = self.timer.lock().unwrap();
        let mut timer = self.changed.wait_while(timer, is_idle).unwrap();
        timer.spurious_ticks = timer.spurious_ticks.saturating_sub(1);
        timer.is_tick_pending = true;
        !timer.is_done
    }

    /// Records that the supervisor has handled the tick.
    pub(crate) fn end_tick(&self) {
        self.timer.lock().unwrap().is_tick_pending = false;
        self.changed.notify_all();
    }

    /// Ends the timer.
    pub(crate) fn finish(&self) {
        self.timer.lock().unwrap().is_done = true;
        self.changed.notify_all();
    }
}
