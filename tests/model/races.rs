//! Races between callers, the supervisor, and an actor that fails at any step, in many schedules.

use std::sync::Arc;

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::mpsc::Sender;
use shuttle::thread::{self, JoinHandle};
use shuttle::{Config, MaxSteps, Runner, future};

use crate::actor::{Address, Call};
use crate::environment::Environment;
use crate::handover::{AskError, Handle};
use crate::supervisor::{Event, Tree};
use crate::time::Instant;

/// The seed of the schedules, fixed so that they are the same at every run.
const SEED: u64 = 20;
/// The number of schedules for each scheduler.
const SCHEDULES: usize = 500;
const CALLERS: u64 = 3;
/// The largest number of faults in a schedule.
const FAULTS: u32 = 4;
/// The largest number of ticks without an unresponsive actor: they may take a slow actor for a hung one.
const SPURIOUS_TICKS: u32 = 20;

/// Runs the scenario in uniformly random schedules, and in those of PCT, which switch threads rarely.
fn explore(scenario: impl Fn() + Copy + Send + Sync + 'static) {
    explore_with(RandomScheduler::new_from_seed(SEED, SCHEDULES), scenario);
    explore_with(PctScheduler::new_from_seed(SEED, 3, SCHEDULES), scenario);
}

fn explore_with(scheduler: impl Scheduler + 'static, scenario: impl Fn() + Copy + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = 256 * 1024;
    config.max_steps = MaxSteps::FailAfter(200_000);
    Runner::new(scheduler, config).run(scenario);
}

/// Starts a caller that makes two calls, one after the other.
fn caller(
    number: u64,
    handle: Handle<Address>,
    environment: Arc<Environment>,
    deadline: Instant,
    check: fn(Result<u64, AskError>),
) -> JoinHandle<()> {
    thread::spawn(move || {
        for call in [2 * number, 2 * number + 1] {
            let answer = future::block_on(handle.ask(Call(call), deadline));
            environment.complete(call);
            check(answer);
        }
    })
}

fn scenario(deadline: Instant, check: fn(Result<u64, AskError>), meanwhile: fn(&Sender<Event>)) {
    let environment = Arc::new(Environment::new(FAULTS, SPURIOUS_TICKS));
    let (tree, handle) = Tree::start(environment.clone());
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| caller(number, handle.clone(), environment.clone(), deadline, check))
        .collect();
    meanwhile(&tree.events);
    for caller in callers {
        caller.join().unwrap();
    }
    tree.join();
}

#[test]
fn every_call_is_answered_whatever_becomes_of_its_actor() {
    explore(|| scenario(Instant::Never, |answer| assert!(answer.is_ok(), "{answer:?}"), |_| {}));
}

#[test]
fn every_call_ends_at_its_deadline_at_the_latest_and_leaves_no_job_behind() {
    let check = |answer| {
        let is_in_time = matches!(answer, Ok(_) | Err(AskError::DeadlineExceeded | AskError::Restarting));
        assert!(is_in_time, "{answer:?}");
    };
    explore(move || scenario(Instant::AnyTime, check, |_| {}));
}

#[test]
fn every_call_ends_when_there_will_be_no_other_generation() {
    let check = |answer| assert!(matches!(answer, Ok(_) | Err(AskError::Stopping)), "{answer:?}");
    explore(move || scenario(Instant::Never, check, |events| drop(events.send(Event::Shutdown))));
}
