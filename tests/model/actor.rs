//! One generation of an actor: a mailbox, a thread that empties it, and the jobs it runs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use shuttle::future::{self, AbortHandle};
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::mpsc::Sender;
use shuttle::sync::{Condvar, Mutex};
use shuttle::thread::{self, JoinHandle, yield_now};
use tokio::sync::{oneshot, watch};

use crate::handover::{Ask, Generation, Job};
use crate::supervisor::Event;
use crate::time::sleep;
use crate::world::{Fate, World};

/// A call, by its number. Its answer is the generation that gave it.
#[derive(Clone)]
pub(crate) struct Call(pub(crate) u64);

impl Job for Call {
    type Answer = u64;
}

enum Letter {
    Ping,
    Ask(Ask<Call>, oneshot::Sender<Option<u64>>),
}

struct Mailbox {
    open: bool,
    letters: VecDeque<Letter>,
    /// The thread is to end, with everything on it.
    stopped: bool,
    /// The test is over: what stands still for ever comes back.
    released: bool,
}

struct Inner {
    number: u64,
    world: Arc<World>,
    mailbox: Mutex<Mailbox>,
    changed: Condvar,
    /// Its thread stands still, and so do its jobs.
    blocked: watch::Sender<bool>,
}

/// The address of one generation.
#[derive(Clone)]
pub(crate) struct Address(Arc<Inner>);

impl Generation<Call> for Address {
    async fn give(&self, ask: Ask<Call>) -> Option<u64> {
        let (reply, answer) = oneshot::channel();
        if !self.post(Letter::Ask(ask, reply)) {
            return None;
        }
        let answer = answer.await.ok().flatten();
        yield_now();
        answer
    }

    fn lives(&self) -> bool {
        self.0.mailbox.lock().unwrap().open
    }
}

impl Address {
    /// Starts the generation of that number on a thread of its own.
    pub(crate) fn start(number: u64, world: Arc<World>, supervisor: Sender<Event>) -> (Self, JoinHandle<()>) {
        let mailbox = Mailbox { open: true, letters: VecDeque::new(), stopped: false, released: false };
        let address = Self(Arc::new(Inner {
            number,
            world,
            mailbox: Mutex::new(mailbox),
            changed: Condvar::new(),
            blocked: watch::Sender::new(false),
        }));
        let actor = address.clone();
        (address, thread::spawn(move || actor.run(&supervisor)))
    }

    pub(crate) fn ping(&self) {
        self.post(Letter::Ping);
    }

    /// Stops the thread, as soon as it comes back.
    pub(crate) fn stop(&self) {
        self.0.mailbox.lock().unwrap().stopped = true;
        self.0.changed.notify_all();
    }

    /// Stops the thread, and lets it come back.
    pub(crate) fn release(&self) {
        self.0.mailbox.lock().unwrap().released = true;
        self.stop();
    }

    fn post(&self, letter: Letter) -> bool {
        let mut mailbox = self.0.mailbox.lock().unwrap();
        if mailbox.open {
            mailbox.letters.push_back(letter);
            self.0.changed.notify_all();
            return true;
        }
        drop(mailbox);
        false
    }

    fn run(&self, supervisor: &Sender<Event>) {
        let mut jobs = Vec::new();
        while let Some(letter) = self.next_letter() {
            let fate = self.0.world.fate();
            match fate {
                Fate::End => break,
                Fate::Stall => {
                    self.0.world.is_deaf(self.0.number);
                    self.wait_until(|mailbox| mailbox.stopped);
                }
                Fate::Block => self.block(),
                Fate::Work | Fate::DropJob => {}
            }
            match letter {
                Letter::Ping => drop(supervisor.send(Event::Answered(self.0.number))),
                Letter::Ask(ask, reply) => jobs.push(self.begin(ask, reply, fate == Fate::DropJob)),
            }
        }
        self.end(&jobs, supervisor);
    }

    /// `None` when the thread was stopped. One that comes back late may still find a letter before it notices.
    fn next_letter(&self) -> Option<Letter> {
        let mailbox = self.0.mailbox.lock().unwrap();
        let idle = |mailbox: &mut Mailbox| !mailbox.stopped && mailbox.letters.is_empty();
        let mut mailbox = self.0.changed.wait_while(mailbox, idle).unwrap();
        match mailbox.stopped && thread_rng().gen_bool(0.5) {
            true => None,
            false => mailbox.letters.pop_front(),
        }
    }

    fn begin(&self, ask: Ask<Call>, reply: oneshot::Sender<Option<u64>>, drops: bool) -> AbortHandle {
        let actor = self.0.clone();
        let mut blocked = actor.blocked.subscribe();
        let work = move |Call(call)| async move {
            for _ in 0..2 {
                actor.world.works_on(call);
                sleep(Duration::ZERO).await;
                let _ = blocked.wait_for(|blocked| !blocked).await;
            }
            actor.number
        };
        let job = async move {
            let answer = ask.answer(work).await;
            if !drops {
                let _ = reply.send(answer);
            }
        };
        future::spawn(job).abort_handle()
    }

    fn wait_until(&self, reached: fn(&Mailbox) -> bool) {
        let mailbox = self.0.mailbox.lock().unwrap();
        drop(self.0.changed.wait_while(mailbox, |mailbox| !reached(mailbox)).unwrap());
    }

    /// The thread stands still, stopped or not: for a while or for ever.
    fn block(&self) {
        self.0.blocked.send_replace(true);
        self.0.world.is_deaf(self.0.number);
        match thread_rng().gen_bool(0.5) {
            true => self.wait_until(|mailbox| mailbox.released),
            false => (0..thread_rng().gen_range(0..40)).for_each(|_| yield_now()),
        }
        self.0.world.hears(self.0.number);
        self.0.blocked.send_replace(false);
    }

    /// What happens when an actor ends, in any order in which it can. Jobs go only with their thread.
    fn end(&self, jobs: &[AbortHandle], supervisor: &Sender<Event>) {
        let jobs_first = thread_rng().gen_bool(0.5);
        let stopped = self.0.mailbox.lock().unwrap().stopped;
        if stopped && jobs_first {
            jobs.iter().for_each(AbortHandle::abort);
        }
        let news_first = thread_rng().gen_bool(0.5);
        if news_first {
            self.tell(supervisor);
        }
        self.close();
        if !news_first {
            self.tell(supervisor);
        }
        if stopped && !jobs_first {
            jobs.iter().for_each(AbortHandle::abort);
        }
    }

    fn tell(&self, supervisor: &Sender<Event>) {
        self.0.world.ended(self.0.number);
        let _ = supervisor.send(Event::Ended(self.0.number));
    }

    fn close(&self) {
        self.0.mailbox.lock().unwrap().open = false;
        let letters = std::mem::take(&mut self.0.mailbox.lock().unwrap().letters);
        for letter in letters {
            yield_now();
            drop(letter);
        }
    }
}
