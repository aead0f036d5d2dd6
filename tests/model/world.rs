//! What is true, whatever the supervisor believes; how much goes wrong; and when the watchdog comes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex as Ghost;

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::{Condvar, Mutex};

/// What an actor does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Work,
    /// The job panics, the actor lives.
    DropJob,
    /// It panics or stops.
    End,
    /// It handles nothing any more, though its jobs run.
    Stall,
    /// Its thread stands still, and may come back.
    Block,
}

/// The truth. No thread is switched while it is looked at.
#[derive(Default)]
struct Truth {
    faults: u32,
    job_was_dropped: bool,
    /// Generations that have ended, or whose end was concluded.
    over: BTreeSet<u64>,
    failed: BTreeSet<u64>,
    /// By call: whether its asker has its answer, or has given up.
    settled: BTreeMap<u64, bool>,
}

/// When the watchdog comes: while an actor is deaf, and a few times more.
struct Clock {
    deaf: BTreeSet<u64>,
    spare: u32,
    ticking: bool,
    done: bool,
}

pub(crate) struct World {
    truth: Ghost<Truth>,
    clock: Mutex<Clock>,
    changed: Condvar,
}

impl World {
    /// A world in which at most so many things go wrong, and the watchdog comes at most so often without need.
    pub(crate) fn new(faults: u32, spare: u32) -> Self {
        let clock = Clock { deaf: BTreeSet::new(), spare, ticking: false, done: false };
        let truth = Truth { faults, ..Truth::default() };
        Self { truth: Ghost::new(truth), clock: Mutex::new(clock), changed: Condvar::new() }
    }

    /// What the actor does next.
    pub(crate) fn fate(&self) -> Fate {
        let mut truth = self.truth.lock().unwrap();
        if truth.faults == 0 || thread_rng().gen_bool(0.5) {
            return Fate::Work;
        }
        let fate = [Fate::DropJob, Fate::End, Fate::Stall, Fate::Block][thread_rng().gen_range(0..4)];
        if fate == Fate::DropJob && std::mem::replace(&mut truth.job_was_dropped, true) {
            return Fate::Work; // a job that is dropped again and again is given up, rightly
        }
        truth.faults -= 1;
        fate
    }

    pub(crate) fn start_fails(&self) -> bool {
        let mut truth = self.truth.lock().unwrap();
        let fails = truth.faults > 0 && thread_rng().gen_bool(0.25);
        truth.faults -= u32::from(fails);
        fails
    }

    /// The supervisor starts a generation: none before it may be at work, unless it was given up as hung.
    pub(crate) fn begins(&self, generation: u64) {
        let truth = self.truth.lock().unwrap();
        let at_work: Vec<u64> = (1..generation).filter(|earlier| !truth.over.contains(earlier)).collect();
        assert!(at_work.is_empty(), "{generation} starts while {at_work:?} work");
    }

    /// The generation has ended.
    pub(crate) fn ended(&self, generation: u64) {
        self.truth.lock().unwrap().over.insert(generation);
    }

    /// The supervisor takes the generation for failed, once.
    pub(crate) fn failed(&self, generation: u64) {
        let mut truth = self.truth.lock().unwrap();
        assert!(truth.failed.insert(generation), "{generation} failed twice");
        truth.over.insert(generation);
        drop(truth);
        self.hears(generation);
    }

    /// The caller waits no more.
    pub(crate) fn settle(&self, call: u64) {
        let before = self.truth.lock().unwrap().settled.insert(call, true);
        assert_eq!(before, None, "call {call} was answered twice");
    }

    /// Somebody works on the call.
    pub(crate) fn works_on(&self, call: u64) {
        let settled = self.truth.lock().unwrap().settled.contains_key(&call);
        assert!(!settled, "somebody works on call {call}, and nobody waits for it");
    }

    /// The generation answers nobody, so the watchdog has to come, if it does not know yet.
    pub(crate) fn is_deaf(&self, generation: u64) {
        let mut clock = self.clock.lock().unwrap();
        if !self.truth.lock().unwrap().failed.contains(&generation) {
            clock.deaf.insert(generation);
        }
        drop(clock);
        self.changed.notify_all();
    }

    pub(crate) fn hears(&self, generation: u64) {
        self.clock.lock().unwrap().deaf.remove(&generation);
    }

    /// Waits for the next time that the watchdog comes; `false` when all is over.
    pub(crate) fn tick(&self) -> bool {
        let idle =
            |clock: &mut Clock| !clock.done && (clock.ticking || clock.deaf.is_empty() && clock.spare == 0);
        let clock = self.clock.lock().unwrap();
        let mut clock = self.changed.wait_while(clock, idle).unwrap();
        clock.spare = clock.spare.saturating_sub(1);
        clock.ticking = true;
        !clock.done
    }

    /// The watchdog was here.
    pub(crate) fn ticked(&self) {
        self.clock.lock().unwrap().ticking = false;
        self.changed.notify_all();
    }

    pub(crate) fn done(&self) {
        self.clock.lock().unwrap().done = true;
        self.changed.notify_all();
    }
}
