//! The supervisor's loop, for one child.

use std::sync::Arc;

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::mpsc::{self, Receiver, Sender};
use shuttle::thread::{self, JoinHandle};

use crate::actor::Address;
use crate::environment::Environment;
use crate::handover::{Handle, Slot};
use crate::liveness::{ChildState, WatchdogAction};

/// An event that the supervisor handles.
pub(crate) enum Event {
    Ended(u64),
    Answered(u64),
    /// A tick of the watchdog.
    Tick,
    /// The pause after the failure of that generation is over.
    PauseIsOver(u64),
    Shutdown,
}

/// The supervisor, all generations of its child, and the watchdog's timer.
pub(crate) struct Tree {
    pub(crate) events: Sender<Event>,
    environment: Arc<Environment>,
    threads: Vec<JoinHandle<()>>,
}

struct Supervisor {
    environment: Arc<Environment>,
    events: Sender<Event>,
    slot: Slot<Address>,
    state: ChildState,
    generations: Vec<Address>,
    threads: Vec<JoinHandle<()>>,
}

impl Tree {
    /// Starts the tree, and returns it with a handle on the child.
    pub(crate) fn start(environment: Arc<Environment>) -> (Self, Handle<Address>) {
        let (events, received) = mpsc::channel();
        let slot = Slot::empty();
        let handle = slot.handle();
        let supervisor = Supervisor {
            environment: environment.clone(),
            events: events.clone(),
            slot,
            state: ChildState::default(),
            generations: Vec::new(),
            threads: Vec::new(),
        };
        let supervisor = thread::spawn(move || supervisor.run(&received));
        let (timer, ticks) = (environment.clone(), events.clone());
        let timer = thread::spawn(move || {
            while timer.next_tick() {
                let _ = ticks.send(Event::Tick);
            }
        });
        (Self { events, environment, threads: vec![supervisor, timer] }, handle)
    }

    /// Shuts the tree down, unless that has happened already, and waits for all threads.
    pub(crate) fn join(self) {
        let _ = self.events.send(Event::Shutdown);
        self.environment.finish();
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

impl Supervisor {
    fn run(mut self, events: &Receiver<Event>) {
        self.start();
        while let Ok(event) = events.recv() {
            match event {
                Event::Shutdown => break,
                Event::Answered(generation) => drop(self.state.record_answer(generation)),
                Event::Tick => self.tick(),
                Event::Ended(generation) if self.state.record_end(generation) => self.child_failed(),
                Event::PauseIsOver(failed) if self.state.is_restart_due(failed) => self.start(),
                Event::Ended(_) | Event::PauseIsOver(_) => {}
            }
        }
        self.end();
    }

    fn start(&mut self) {
        let number = self.state.start();
        self.environment.check_start(number);
        if self.environment.is_start_failing() {
            self.state.record_end(number);
            let _ = self.events.send(Event::Ended(number)); // from the lifeline, which is dropped unused
            return self.child_failed();
        }
        let (address, thread) = Address::start(number, self.environment.clone(), self.events.clone());
        self.generations.push(address.clone());
        self.threads.push(thread);
        self.slot.publish(number, address);
        self.publish_abandoned(number);
    }

    /// Publishes the generation before this one again, sometimes: an abandoned one may resume after its replacement
    /// was published.
    fn publish_abandoned(&self, number: u64) {
        if let Some(abandoned) = self.generations.iter().nth_back(1).filter(|_| thread_rng().gen_bool(0.5)) {
            self.slot.publish(number - 1, abandoned.clone());
        }
    }

    fn tick(&mut self) {
        match self.state.tick() {
            WatchdogAction::Ping(_) => self.generations.last().unwrap().ping(),
            WatchdogAction::Wait => {}
            WatchdogAction::Hung => {
                self.generations.last().unwrap().stop();
                self.child_failed();
            }
        }
        self.environment.end_tick();
    }

    fn child_failed(&mut self) {
        let generation = self.state.generation();
        self.environment.record_failure(generation);
        let events = self.events.clone();
        let pause = thread::spawn(move || drop(events.send(Event::PauseIsOver(generation))));
        self.threads.push(pause);
    }

    /// Drops the slot, so that no other generation is published, and waits for all threads.
    fn end(self) {
        drop(self.slot);
        self.generations.iter().for_each(Address::release);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}
