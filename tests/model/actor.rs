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

use crate::environment::{Environment, Step};
use crate::handover::{Ask, Generation, Job};
use crate::supervisor::Event;
use crate::time::sleep;

/// A call, by its number. The answer is the number of the generation that answers it.
#[derive(Clone)]
pub(crate) struct Call(pub(crate) u64);

impl Job for Call {
    type Answer = u64;
}

enum Message {
    Ping,
    Ask(Ask<Call>, oneshot::Sender<Option<u64>>),
}

struct Mailbox {
    is_open: bool,
    messages: VecDeque<Message>,
    /// Set when the thread has to end, with everything on it.
    is_stopped: bool,
    /// Set when the test is over, so that a thread that is blocked for ever resumes.
    is_released: bool,
}

struct Inner {
    number: u64,
    environment: Arc<Environment>,
    mailbox: Mutex<Mailbox>,
    changed: Condvar,
    /// `true` while the thread is blocked, and its jobs with it.
    is_blocked: watch::Sender<bool>,
}

/// The address of one generation.
#[derive(Clone)]
pub(crate) struct Address(Arc<Inner>);

impl Generation<Call> for Address {
    async fn deliver(&self, ask: Ask<Call>) -> Option<u64> {
        let (reply, answer) = oneshot::channel();
        if !self.post(Message::Ask(ask, reply)) {
            return None;
        }
        let answer = answer.await.ok().flatten();
        yield_now();
        answer
    }

    fn is_alive(&self) -> bool {
        self.0.mailbox.lock().unwrap().is_open
    }
}

impl Address {
    /// Starts the generation of that number on a thread of its own.
    pub(crate) fn start(
        number: u64,
        environment: Arc<Environment>,
        supervisor: Sender<Event>,
    ) -> (Self, JoinHandle<()>) {
        let mailbox =
            Mailbox { is_open: true, messages: VecDeque::new(), is_stopped: false, is_released: false };
        let address = Self(Arc::new(Inner {
            number,
            environment,
            mailbox: Mutex::new(mailbox),
            changed: Condvar::new(),
            is_blocked: watch::Sender::new(false),
        }));
        let actor = address.clone();
        (address, thread::spawn(move || actor.run(&supervisor)))
    }

    pub(crate) fn ping(&self) {
        self.post(Message::Ping);
    }

    /// Stops the thread, as soon as it is not blocked any more.
    pub(crate) fn stop(&self) {
        self.0.mailbox.lock().unwrap().is_stopped = true;
        self.0.changed.notify_all();
    }

    /// Stops the thread, and unblocks it.
    pub(crate) fn release(&self) {
        self.0.mailbox.lock().unwrap().is_released = true;
        self.stop();
    }

    fn post(&self, message: Message) -> bool {
        let mut mailbox = self.0.mailbox.lock().unwrap();
        if mailbox.is_open {
            mailbox.messages.push_back(message);
            self.0.changed.notify_all();
            return true;
        }
        drop(mailbox);
        false
    }

    fn run(&self, supervisor: &Sender<Event>) {
        let mut jobs = Vec::new();
        while let Some(message) = self.next_message() {
            let step = self.0.environment.next_step();
            match step {
                Step::End => break,
                Step::Stall => {
                    self.0.environment.mark_unresponsive(self.0.number);
                    self.wait_until(|mailbox| mailbox.is_stopped);
                }
                Step::Block => self.block(),
                Step::Work | Step::DropJob => {}
            }
            match message {
                Message::Ping => drop(supervisor.send(Event::Answered(self.0.number))),
                Message::Ask(ask, reply) => jobs.push(self.begin(ask, reply, step == Step::DropJob)),
            }
        }
        self.end(&jobs, supervisor);
    }

    /// Waits for the next message. Returns `None` when the thread was stopped; one that was blocked until now may
    /// still handle a message before it notices.
    fn next_message(&self) -> Option<Message> {
        let mailbox = self.0.mailbox.lock().unwrap();
        let is_idle = |mailbox: &mut Mailbox| !mailbox.is_stopped && mailbox.messages.is_empty();
        let mut mailbox = self.0.changed.wait_while(mailbox, is_idle).unwrap();
        if mailbox.is_stopped && thread_rng().gen_bool(0.5) { None } else { mailbox.messages.pop_front() }
    }

    fn begin(&self, ask: Ask<Call>, reply: oneshot::Sender<Option<u64>>, is_dropped: bool) -> AbortHandle {
        let actor = self.0.clone();
        let mut is_blocked = actor.is_blocked.subscribe();
        let work = move |Call(call)| async move {
            for _ in 0..2 {
                actor.environment.check_work(call);
                sleep(Duration::ZERO).await;
                let _ = is_blocked.wait_for(|is_blocked| !is_blocked).await;
            }
            actor.number
        };
        let job = async move {
            let answer = ask.answer(work).await;
            if !is_dropped {
                let _ = reply.send(answer);
            }
        };
        future::spawn(job).abort_handle()
    }

    fn wait_until(&self, is_reached: fn(&Mailbox) -> bool) {
        let mailbox = self.0.mailbox.lock().unwrap();
        drop(self.0.changed.wait_while(mailbox, |mailbox| !is_reached(mailbox)).unwrap());
    }

    /// Blocks the thread for a while, or until the test is over. A stop does not unblock it.
    fn block(&self) {
        self.0.is_blocked.send_replace(true);
        self.0.environment.mark_unresponsive(self.0.number);
        if thread_rng().gen_bool(0.5) {
            self.wait_until(|mailbox| mailbox.is_released);
        } else {
            (0..thread_rng().gen_range(0..40)).for_each(|_| yield_now());
        }
        self.0.environment.mark_responsive(self.0.number);
        self.0.is_blocked.send_replace(false);
    }

    /// Ends the actor: closes the mailbox, reports the end, and aborts the jobs if the thread was stopped, in any
    /// order.
    fn end(&self, jobs: &[AbortHandle], supervisor: &Sender<Event>) {
        let aborts_first = thread_rng().gen_bool(0.5);
        let is_stopped = self.0.mailbox.lock().unwrap().is_stopped;
        if is_stopped && aborts_first {
            jobs.iter().for_each(AbortHandle::abort);
        }
        let reports_first = thread_rng().gen_bool(0.5);
        if reports_first {
            self.report_end(supervisor);
        }
        self.close();
        if !reports_first {
            self.report_end(supervisor);
        }
        if is_stopped && !aborts_first {
            jobs.iter().for_each(AbortHandle::abort);
        }
    }

    fn report_end(&self, supervisor: &Sender<Event>) {
        self.0.environment.record_end(self.0.number);
        let _ = supervisor.send(Event::Ended(self.0.number));
    }

    fn close(&self) {
        self.0.mailbox.lock().unwrap().is_open = false;
        let messages = std::mem::take(&mut self.0.mailbox.lock().unwrap().messages);
        for message in messages {
            yield_now();
            drop(message);
        }
    }
}
