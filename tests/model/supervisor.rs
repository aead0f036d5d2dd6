//! The supervisor's loop, for one child.

use std::sync::Arc;

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::mpsc::{self, Receiver, Sender};
use shuttle::thread::{self, JoinHandle};

use crate::actor::Address;
use crate::handover::{Asker, Slot};
use crate::liveness::{ChildState, WatchdogAction};
use crate::world::World;

/// What the supervisor can be told.
pub(crate) enum Event {
    Ended(u64),
    Answered(u64),
    /// The watchdog's timer.
    Tick,
    /// The pause after that generation's failure is over.
    PauseIsOver(u64),
    Shutdown,
}

/// The supervisor, its child in all generations, and the watchdog's timer.
pub(crate) struct Tree {
    pub(crate) events: Sender<Event>,
    world: Arc<World>,
    threads: Vec<JoinHandle<()>>,
}

struct Supervisor {
    world: Arc<World>,
    events: Sender<Event>,
    slot: Slot<Address>,
    life: ChildState,
    generations: Vec<Address>,
    threads: Vec<JoinHandle<()>>,
}

impl Tree {
    /// Starts it, and returns who asks its child.
    pub(crate) fn start(world: Arc<World>) -> (Self, Asker<Address>) {
        let (events, received) = mpsc::channel();
        let slot = Slot::empty();
        let asker = slot.asker();
        let supervisor = Supervisor {
            world: world.clone(),
            events: events.clone(),
            slot,
            life: ChildState::default(),
            generations: Vec::new(),
            threads: Vec::new(),
        };
        let supervisor = thread::spawn(move || supervisor.run(&received));
        let (clock, ticks) = (world.clone(), events.clone());
        let clock = thread::spawn(move || {
            while clock.tick() {
                let _ = ticks.send(Event::Tick);
            }
        });
        (Self { events, world, threads: vec![supervisor, clock] }, asker)
    }

    /// Ends it, if it has not ended yet.
    pub(crate) fn join(self) {
        let _ = self.events.send(Event::Shutdown);
        self.world.done();
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
                Event::Answered(generation) => drop(self.life.answered(generation)),
                Event::Tick => self.watch(),
                Event::Ended(generation) if self.life.end(generation) => self.failed(),
                Event::PauseIsOver(failed) if self.life.restart_is_due(failed) => self.start(),
                Event::Ended(_) | Event::PauseIsOver(_) => {}
            }
        }
        self.end();
    }

    fn start(&mut self) {
        let number = self.life.begin();
        self.world.begins(number);
        if self.world.start_fails() {
            self.life.end(number);
            let _ = self.events.send(Event::Ended(number)); // from the lifeline that nobody took
            return self.failed();
        }
        let (address, thread) = Address::start(number, self.world.clone(), self.events.clone());
        self.generations.push(address.clone());
        self.threads.push(thread);
        self.slot.publish(number, address);
        self.late_words(number);
    }

    /// A generation that was given up may publish itself when its replacement is there already.
    fn late_words(&self, number: u64) {
        if let Some(given_up) = self.generations.iter().nth_back(1).filter(|_| thread_rng().gen_bool(0.5)) {
            self.slot.publish(number - 1, given_up.clone());
        }
    }

    fn watch(&mut self) {
        match self.life.watch() {
            WatchdogAction::Ping(_) => self.generations.last().unwrap().ping(),
            WatchdogAction::Wait => {}
            WatchdogAction::Hung => {
                self.generations.last().unwrap().stop();
                self.failed();
            }
        }
        self.world.ticked();
    }

    fn failed(&mut self) {
        let generation = self.life.generation();
        self.world.failed(generation);
        let events = self.events.clone();
        let pause = thread::spawn(move || drop(events.send(Event::PauseIsOver(generation))));
        self.threads.push(pause);
    }

    /// No other generation will be published.
    fn end(self) {
        drop(self.slot);
        self.generations.iter().for_each(Address::release);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}
