//! Hands a job over to the next generation of an actor when the one that had it is gone, until one answers.
//!
//! A job ends when nobody waits for its answer any more: the caller has gone, or asks another generation. Knows
//! neither actix nor what a generation is; `tests/model` explores this file under every order of events.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use super::sync::watch;
use super::time::{Instant, sleep, sleep_until};

/// How often one live generation is asked again after it dropped a request.
const DROPS_PER_GENERATION: u32 = 3;
/// The pause before a live generation is asked again.
const PAUSE: Duration = Duration::from_millis(20);
/// An actor at work answers at the deadline itself and says what it waited for; only a deaf one is later than this.
const GRACE: Duration = Duration::from_millis(25);

/// What an actor can be asked to do. May be done more than once: only what is idempotent is a job.
pub(crate) trait Job: Clone + Send + 'static {
    /// What comes of it.
    type Answer: Send + 'static;
}

/// A job on its way to an actor.
pub(crate) struct Ask<J> {
    job: J,
    span: Span,
    abandoned: CancellationToken,
}

impl<J: Job> Ask<J> {
    /// Does the job in the log span of the request it belongs to. `None` once nobody waits for the answer: it is not
    /// polled even once more then.
    pub(crate) async fn answer<F>(self, perform: impl FnOnce(J) -> F) -> Option<J::Answer>
    where
        F: Future<Output = J::Answer>,
    {
        let Self { job, span, abandoned } = self;
        tokio::select! {
            biased;
            () = abandoned.cancelled() => None,
            answer = perform(job).instrument(span) => Some(answer),
        }
    }
}

/// One generation of an actor.
pub(crate) trait Generation<J: Job>: Clone + Send + Sync {
    /// Gives it the job. `None` when it drops the job, or is gone.
    fn give(&self, ask: Ask<J>) -> impl Future<Output = Option<J::Answer>> + Send;

    /// Whether it still takes jobs.
    fn lives(&self) -> bool;
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// A generation had the job, and the deadline passed.
    Late,
    /// The deadline passed while there was none.
    Restarting,
    /// One generation keeps dropping this job.
    Dropped,
    /// There will be no other generation.
    Stopping,
}

struct Published<G> {
    number: u64,
    current: Option<G>,
}

/// Where each new generation is published.
pub(crate) struct Slot<G>(watch::Sender<Published<G>>);

impl<G> Slot<G> {
    /// A slot without a generation yet.
    pub(crate) fn empty() -> Self {
        Self(watch::Sender::new(Published { number: 0, current: None }))
    }

    /// Puts that generation in the place of those before it. One that was given up may still come late, and is none.
    pub(crate) fn publish(&self, number: u64, next: G) {
        self.0.send_if_modified(|slot| {
            let newer = number > slot.number;
            if newer {
                *slot = Published { number, current: Some(next) };
            }
            newer
        });
    }

    /// Who asks whatever this slot will hold.
    pub(crate) fn asker(&self) -> Asker<G> {
        Asker(self.0.subscribe())
    }
}

/// Asks the actor, whichever generation it is in.
pub(crate) struct Asker<G>(watch::Receiver<Published<G>>);

impl<G> Clone for Asker<G> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// How one attempt to ask ended.
enum Asked<R> {
    Answered(R),
    /// The generation is gone, or another took its place.
    Gone,
    /// It lives, but this one request was dropped: its future panicked.
    Dropped,
    Late,
}

impl<G> Asker<G> {
    /// The answer of the first generation that gives one.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn ask<J: Job>(&self, job: J, deadline: Instant) -> Result<J::Answer, Unanswered>
    where
        G: Generation<J>,
    {
        let mut slot = self.0.clone();
        let (mut drops, mut dropped_by) = (0, 0);
        loop {
            let (number, generation) = current(&mut slot);
            let asked = match generation {
                Some(generation) => ask_once(&mut slot, &generation, job.clone(), deadline).await,
                None => Asked::Gone,
            };
            match asked {
                Asked::Answered(answer) => return Ok(answer),
                Asked::Late => return Err(Unanswered::Late),
                Asked::Gone => next_generation(&mut slot, number, deadline).await?,
                Asked::Dropped => {
                    drops = if dropped_by == number { drops + 1 } else { 1 };
                    dropped_by = number;
                    if drops == DROPS_PER_GENERATION {
                        return Err(Unanswered::Dropped);
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Marks it as seen: from here on, only a newer one counts as a change.
fn current<G: Clone>(slot: &mut watch::Receiver<Published<G>>) -> (u64, Option<G>) {
    let published = slot.borrow_and_update();
    (published.number, published.current.clone())
}

async fn ask_once<G, J>(
    slot: &mut watch::Receiver<Published<G>>,
    generation: &G,
    job: J,
    deadline: Instant,
) -> Asked<J::Answer>
where
    J: Job,
    G: Generation<J>,
{
    let abandoned = CancellationToken::new();
    let _waiting = abandoned.clone().drop_guard();
    let ask = Ask { job, span: Span::current(), abandoned };
    tokio::select! {
        biased;
        answer = generation.give(ask) => match answer {
            Some(answer) => Asked::Answered(answer),
            None if generation.lives() => Asked::Dropped,
            None => Asked::Gone,
        },
        Ok(()) = slot.changed() => Asked::Gone,
        () = sleep_until(deadline + GRACE) => Asked::Late,
    }
}

async fn next_generation<G>(
    slot: &mut watch::Receiver<Published<G>>,
    after: u64,
    deadline: Instant,
) -> Result<(), Unanswered> {
    tokio::select! {
        next = slot.wait_for(|published| published.number > after) => match next {
            Ok(_) => Ok(()),
            Err(_) => Err(Unanswered::Stopping),
        },
        () = sleep_until(deadline) => Err(Unanswered::Restarting),
    }
}
