//! Hands a job over to the next generation of an actor when the one that had it ended, until one answers.
//!
//! A job is cancelled when its answer is no longer wanted: the caller went away, or asks another generation. Knows
//! neither actix nor what a generation is; `tests/model` explores this file under every order of events.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use super::sync::watch;
use super::time::{Instant, sleep, sleep_until};

/// The number of times that one live generation may drop a job before the caller gets an error.
const DROPS_PER_GENERATION: u32 = 3;
/// The pause before a live generation is asked again.
const PAUSE: Duration = Duration::from_millis(20);
/// The time after the deadline in which the actor itself may still answer, with the reason of the delay. Only a hung
/// actor is later than that.
const GRACE: Duration = Duration::from_millis(25);

/// A request to an actor. It may be performed more than once, so it must be idempotent.
pub(crate) trait Job: Clone + Send + 'static {
    /// The result of the job.
    type Answer: Send + 'static;
}

/// A job on its way to an actor.
pub(crate) struct Ask<J> {
    job: J,
    span: Span,
    cancelled: CancellationToken,
}

impl<J: Job> Ask<J> {
    /// Performs the job in the log span of the request it belongs to. Returns `None` when the job is cancelled; it is
    /// not polled again after that.
    pub(crate) async fn answer<F>(self, perform: impl FnOnce(J) -> F) -> Option<J::Answer>
    where
        F: Future<Output = J::Answer>,
    {
        let Self { job, span, cancelled } = self;
        tokio::select! {
            biased;
            () = cancelled.cancelled() => None,
            answer = perform(job).instrument(span) => Some(answer),
        }
    }
}

/// The address of one generation of an actor.
pub(crate) trait Generation<J: Job>: Clone + Send + Sync {
    /// Delivers the job, and waits for the answer. Returns `None` when the generation drops the job, or has ended.
    fn deliver(&self, ask: Ask<J>) -> impl Future<Output = Option<J::Answer>> + Send;

    /// Returns whether the generation still takes jobs.
    fn is_alive(&self) -> bool;
}

/// The reason why a job has no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AskError {
    /// The deadline passed while a generation had the job.
    DeadlineExceeded,
    /// The deadline passed while there was no generation.
    Restarting,
    /// One generation keeps dropping this job.
    Dropped,
    /// There will be no other generation.
    Stopping,
}

struct Published<G> {
    number: u64,
    generation: Option<G>,
}

/// The place where each new generation is published.
pub(crate) struct Slot<G>(watch::Sender<Published<G>>);

impl<G> Slot<G> {
    /// Creates a slot without a generation.
    pub(crate) fn empty() -> Self {
        Self(watch::Sender::new(Published { number: 0, generation: None }))
    }

    /// Publishes a generation in place of earlier ones. Ignores it if a later one was published: an abandoned
    /// generation may still resume.
    pub(crate) fn publish(&self, number: u64, next: G) {
        self.0.send_if_modified(|published| {
            let is_newer = number > published.number;
            if is_newer {
                *published = Published { number, generation: Some(next) };
            }
            is_newer
        });
    }

    /// Returns a handle that asks the generations of this slot.
    pub(crate) fn handle(&self) -> Handle<G> {
        Handle(self.0.subscribe())
    }
}

/// A handle on an actor, whichever generation is published.
pub(crate) struct Handle<G>(watch::Receiver<Published<G>>);

impl<G> Clone for Handle<G> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The outcome of asking one generation.
enum AskOutcome<R> {
    Answered(R),
    /// The generation ended, or a newer one was published.
    Ended,
    /// The generation is alive, but dropped this job: its future panicked.
    Dropped,
    DeadlineExceeded,
}

impl<G> Handle<G> {
    /// Asks one generation after another, and returns the first answer.
    ///
    /// # Errors
    /// There is no answer before the deadline, one generation drops the job three times, or the last generation has
    /// ended.
    pub(crate) async fn ask<J: Job>(&self, job: J, deadline: Instant) -> Result<J::Answer, AskError>
    where
        G: Generation<J>,
    {
        let mut slot = self.0.clone();
        let (mut drops, mut dropped_by) = (0, 0);
        loop {
            let (number, generation) = newest(&mut slot);
            let outcome = match generation {
                Some(generation) => ask_once(&mut slot, &generation, job.clone(), deadline).await,
                None => AskOutcome::Ended,
            };
            match outcome {
                AskOutcome::Answered(answer) => return Ok(answer),
                AskOutcome::DeadlineExceeded => return Err(AskError::DeadlineExceeded),
                AskOutcome::Ended => next_generation(&mut slot, number, deadline).await?,
                AskOutcome::Dropped => {
                    drops = if dropped_by == number { drops + 1 } else { 1 };
                    dropped_by = number;
                    if drops == DROPS_PER_GENERATION {
                        return Err(AskError::Dropped);
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Returns the published generation, and marks it as seen: from here on, only a newer one counts as a change.
fn newest<G: Clone>(slot: &mut watch::Receiver<Published<G>>) -> (u64, Option<G>) {
    let published = slot.borrow_and_update();
    (published.number, published.generation.clone())
}

async fn ask_once<G, J>(
    slot: &mut watch::Receiver<Published<G>>,
    generation: &G,
    job: J,
    deadline: Instant,
) -> AskOutcome<J::Answer>
where
    J: Job,
    G: Generation<J>,
{
    let cancelled = CancellationToken::new();
    let _cancel_on_drop = cancelled.clone().drop_guard();
    let ask = Ask { job, span: Span::current(), cancelled };
    tokio::select! {
        biased;
        answer = generation.deliver(ask) => match answer {
            Some(answer) => AskOutcome::Answered(answer),
            None if generation.is_alive() => AskOutcome::Dropped,
            None => AskOutcome::Ended,
        },
        Ok(()) = slot.changed() => AskOutcome::Ended,
        () = sleep_until(deadline + GRACE) => AskOutcome::DeadlineExceeded,
    }
}

/// Waits until a later generation is published.
///
/// # Errors
/// The deadline passes first, or the slot was dropped, so there will be no other generation.
async fn next_generation<G>(
    slot: &mut watch::Receiver<Published<G>>,
    after: u64,
    deadline: Instant,
) -> Result<(), AskError> {
    tokio::select! {
        next = slot.wait_for(|published| published.number > after) => match next {
            Ok(_) => Ok(()),
            Err(_) => Err(AskError::Stopping),
        },
        () = sleep_until(deadline) => Err(AskError::Restarting),
    }
}
