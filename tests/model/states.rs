//! The states of one child, explored under every sequence of events, late and repeated ones included.

use std::collections::{BTreeSet, HashSet};

use crate::liveness::{ChildState, HUNG_AFTER, WatchdogAction};

/// The generation at which the exploration ends. Later generations have no other states than the first ones.
const GENERATIONS: u64 = 4;

/// An event that the supervisor applies to the state of a child.
#[derive(Clone, Copy, Debug)]
enum Event {
    Ended(u64),
    Answered(u64),
    /// The pause after the failure of that generation is over.
    PauseIsOver(u64),
    Tick,
    /// The whole process was frozen.
    Frozen,
}

/// A state of the model: that of the child, and the generations that have failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct ModelState {
    child: ChildState,
    failed: BTreeSet<u64>,
}

impl ModelState {
    /// Returns every event that can arrive in this state: of each generation there was, and those of the watchdog.
    fn events(&self) -> Vec<Event> {
        let started = 1..=self.child.generation();
        let of_each = started
            .flat_map(|number| [Event::Ended(number), Event::Answered(number), Event::PauseIsOver(number)]);
        of_each.chain([Event::Tick, Event::Frozen]).collect()
    }

    /// Applies an event, and returns the next state. A generation must fail once, and while it is the newest.
    fn apply(&self, event: Event) -> Self {
        let mut next = self.clone();
        let newest = next.child.generation();
        let failed = match event {
            Event::Ended(number) => next.child.record_end(number).then_some(number),
            Event::Tick => (next.child.tick() == WatchdogAction::Hung).then_some(newest),
            Event::Answered(number) => {
                next.child.record_answer(number);
                None
            }
            Event::PauseIsOver(failed) => {
                if next.child.is_restart_due(failed) {
                    next.child.start();
                }
                None
            }
            Event::Frozen => {
                next.child.reset_unanswered();
                None
            }
        };
        if let Some(failed) = failed {
            assert!(next.failed.insert(failed), "{self:?} fails twice at {event:?}");
            assert_eq!(failed, newest, "{self:?} fails in the past at {event:?}");
        }
        next
    }

    fn check_invariants(&self) {
        let newest = self.child.generation();
        let earlier: BTreeSet<u64> = (1..newest).collect();
        assert!(self.failed.is_superset(&earlier), "a generation was forgotten: {self:?}");
        assert_ne!(self.child.is_up(), self.failed.contains(&newest), "{self:?}");
        assert!(self.child.is_up() || self.child.is_restart_due(newest), "a restart was lost: {self:?}");
    }
}

#[test]
fn each_generation_fails_once_and_the_next_one_begins_only_then() {
    let mut initial = ModelState::default();
    initial.child.start();
    let (mut reached, mut frontier) = (HashSet::from([initial.clone()]), vec![initial]);
    while let Some(state) = frontier.pop() {
        state.check_invariants();
        for event in state.events() {
            let next = state.apply(event);
            if next.child.generation() <= GENERATIONS && reached.insert(next.clone()) {
                frontier.push(next);
            }
        }
    }
    // each generation is down, or up without an unanswered ping, or up with one for 0 to HUNG_AFTER - 1 intervals
    assert_eq!(reached.len() as u64, GENERATIONS * (2 + u64::from(HUNG_AFTER)));
}

#[test]
fn a_child_is_hung_when_it_owes_an_answer_for_so_many_ticks_and_no_sooner() {
    let mut child = ChildState::default();
    assert_eq!(child.start(), 1);
    for _ in 0..100 {
        assert_eq!(child.tick(), WatchdogAction::Ping(1));
        (1..HUNG_AFTER).for_each(|_| assert_eq!(child.tick(), WatchdogAction::Wait));
        assert!(child.record_answer(1));
    }
    assert_eq!(child.tick(), WatchdogAction::Ping(1));
    (1..HUNG_AFTER).for_each(|_| assert_eq!(child.tick(), WatchdogAction::Wait));
    assert_eq!((child.tick(), child.is_up()), (WatchdogAction::Hung, false));
}

#[test]
fn the_answer_of_an_earlier_generation_says_nothing_of_this_one() {
    let mut child = ChildState::default();
    child.start();
    assert!(child.record_end(1) && child.is_restart_due(1));
    assert_eq!((child.start(), child.tick()), (2, WatchdogAction::Ping(2)));
    assert!(!child.record_answer(1));
    (1..HUNG_AFTER).for_each(|_| assert_eq!(child.tick(), WatchdogAction::Wait));
    assert_eq!(child.tick(), WatchdogAction::Hung);
}
