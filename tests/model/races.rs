//! Callers, the supervisor, and an actor that fails wherever it likes, in many orders.

use std::sync::Arc;

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::mpsc::Sender;
use shuttle::thread::{self, JoinHandle};
use shuttle::{Config, MaxSteps, Runner, future};

use crate::actor::{Address, Call};
use crate::handover::{Asker, Unanswered};
use crate::supervisor::{Event, Tree};
use crate::time::Instant;
use crate::world::World;

/// Where the orders begin: the same ones at every run.
const SEED: u64 = 20;
const ORDERS: usize = 500;
const CALLERS: u64 = 3;
/// So many things go wrong at most.
const FAULTS: u32 = 4;
/// So often the watchdog comes without need, and may take a slow actor for a hung one.
const SPARE_TICKS: u32 = 20;

/// Runs the scenario in evenly random orders, and in those that few switches at the worst moment make.
fn explore(scenario: impl Fn() + Copy + Send + Sync + 'static) {
    explore_with(RandomScheduler::new_from_seed(SEED, ORDERS), scenario);
    explore_with(PctScheduler::new_from_seed(SEED, 3, ORDERS), scenario);
}

fn explore_with(scheduler: impl Scheduler + 'static, scenario: impl Fn() + Copy + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = 256 * 1024;
    config.max_steps = MaxSteps::FailAfter(200_000);
    Runner::new(scheduler, config).run(scenario);
}

/// Calls twice, one after the other.
fn caller(
    number: u64,
    asker: Asker<Address>,
    world: Arc<World>,
    deadline: Instant,
    check: fn(Result<u64, Unanswered>),
) -> JoinHandle<()> {
    thread::spawn(move || {
        for call in [2 * number, 2 * number + 1] {
            let answer = future::block_on(asker.ask(Call(call), deadline));
            world.settle(call);
            check(answer);
        }
    })
}

fn scenario(deadline: Instant, check: fn(Result<u64, Unanswered>), meanwhile: fn(&Sender<Event>)) {
    let world = Arc::new(World::new(FAULTS, SPARE_TICKS));
    let (tree, asker) = Tree::start(world.clone());
    let callers: Vec<_> =
        (0..CALLERS).map(|number| caller(number, asker.clone(), world.clone(), deadline, check)).collect();
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
        let in_time = matches!(answer, Ok(_) | Err(Unanswered::Late | Unanswered::Restarting));
        assert!(in_time, "{answer:?}");
    };
    explore(move || scenario(Instant::AnyTime, check, |_| {}));
}

#[test]
fn every_call_ends_when_there_will_be_no_other_generation() {
    let check = |answer| assert!(matches!(answer, Ok(_) | Err(Unanswered::Stopping)), "{answer:?}");
    explore(move || scenario(Instant::Never, check, |events| drop(events.send(Event::Shutdown))));
}
