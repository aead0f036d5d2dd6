//! One child's life under every sequence of events, late and repeated ones included.

use std::collections::{BTreeSet, HashSet};

use crate::liveness::{ChildState, HUNG_AFTER, WatchdogAction};

/// Where the exploration ends: what holds for so many generations holds for more.
const GENERATIONS: u64 = 4;

/// What can happen, as the supervisor would hear of it.
#[derive(Clone, Copy, Debug)]
enum News {
    Ended(u64),
    Answered(u64),
    PauseIsOver(u64),
    Tick,
    Frozen,
}

/// A life, and the generations that failed in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Seen {
    life: ChildState,
    failed: BTreeSet<u64>,
}

impl Seen {
    /// What can be heard now: everything, of every generation there was.
    fn news(&self) -> Vec<News> {
        let known = 1..=self.life.generation();
        let of_each =
            known.flat_map(|number| [News::Ended(number), News::Answered(number), News::PauseIsOver(number)]);
        of_each.chain([News::Tick, News::Frozen]).collect()
    }

    fn after(&self, news: News) -> Self {
        let mut next = self.clone();
        let newest = next.life.generation();
        let failed = match news {
            News::Ended(number) => next.life.end(number).then_some(number),
            News::Tick => (next.life.watch() == WatchdogAction::Hung).then_some(newest),
            News::Answered(number) => {
                next.life.answered(number);
                None
            }
            News::PauseIsOver(failed) => {
                if next.life.restart_is_due(failed) {
                    next.life.begin();
                }
                None
            }
            News::Frozen => {
                next.life.forgive();
                None
            }
        };
        if let Some(failed) = failed {
            assert!(next.failed.insert(failed), "{self:?} fails twice at {news:?}");
            assert_eq!(failed, newest, "{self:?} fails in the past at {news:?}");
        }
        next
    }

    fn check(&self) {
        let newest = self.life.generation();
        let earlier: BTreeSet<u64> = (1..newest).collect();
        assert!(self.failed.is_superset(&earlier), "a generation was forgotten: {self:?}");
        assert_ne!(self.life.is_up(), self.failed.contains(&newest), "{self:?}");
        assert!(self.life.is_up() || self.life.restart_is_due(newest), "a restart was lost: {self:?}");
    }
}

#[test]
fn each_generation_fails_once_and_the_next_one_begins_only_then() {
    let mut first = Seen::default();
    first.life.begin();
    let (mut known, mut next) = (HashSet::from([first.clone()]), vec![first]);
    while let Some(seen) = next.pop() {
        seen.check();
        for news in seen.news() {
            let after = seen.after(news);
            if after.life.generation() <= GENERATIONS && known.insert(after.clone()) {
                next.push(after);
            }
        }
    }
    // each generation is down, owes nothing, or owes an answer since one of so many ticks
    assert_eq!(known.len() as u64, GENERATIONS * (2 + u64::from(HUNG_AFTER)));
}

#[test]
fn a_child_is_hung_when_it_owes_an_answer_for_so_many_ticks_and_no_sooner() {
    let mut life = ChildState::default();
    assert_eq!(life.begin(), 1);
    for _ in 0..100 {
        assert_eq!(life.watch(), WatchdogAction::Ping(1));
        (1..HUNG_AFTER).for_each(|_| assert_eq!(life.watch(), WatchdogAction::Wait));
        assert!(life.answered(1));
    }
    assert_eq!(life.watch(), WatchdogAction::Ping(1));
    (1..HUNG_AFTER).for_each(|_| assert_eq!(life.watch(), WatchdogAction::Wait));
    assert_eq!((life.watch(), life.is_up()), (WatchdogAction::Hung, false));
}

#[test]
fn the_answer_of_an_earlier_generation_says_nothing_of_this_one() {
    let mut life = ChildState::default();
    life.begin();
    assert!(life.end(1) && life.restart_is_due(1));
    assert_eq!((life.begin(), life.watch()), (2, WatchdogAction::Ping(2)));
    assert!(!life.answered(1));
    (1..HUNG_AFTER).for_each(|_| assert_eq!(life.watch(), WatchdogAction::Wait));
    assert_eq!(life.watch(), WatchdogAction::Hung);
}
