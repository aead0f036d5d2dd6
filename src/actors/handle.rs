//! An address that survives restarts: who asks through it waits for the next generation of the actor.
//!
//! A job ends when nobody waits for its answer any more: the caller has gone, or asks another generation.

use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, MailboxError, Message};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use crate::kms::{Code, KmsError};

/// How often one live actor is asked again after it dropped a request.
const DROPS_PER_GENERATION: u32 = 3;
/// The pause before a live actor is asked again.
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

impl<J: Job> Message for Ask<J> {
    type Result = Option<J::Answer>;
}

impl<J: Job> Ask<J> {
    /// Does the job in the log span of the request it belongs to. `None` once nobody waits for the answer.
    pub(crate) async fn answer<F>(self, perform: impl FnOnce(J) -> F) -> Option<J::Answer>
    where
        F: Future<Output = J::Answer>,
    {
        let Self { job, span, abandoned } = self;
        abandoned.run_until_cancelled_owned(perform(job).instrument(span)).await
    }
}

struct Published<A: Actor> {
    generation: u64,
    addr: Option<Addr<A>>,
}

/// Where the factory of an actor publishes each new address.
pub(crate) struct ActorSlot<A: Actor>(watch::Sender<Published<A>>);

impl<A: Actor> ActorSlot<A> {
    /// A slot without an actor yet.
    pub(crate) fn empty() -> Self {
        Self(watch::Sender::new(Published { generation: 0, addr: None }))
    }

    /// Publishes the next generation.
    pub(crate) fn publish(&self, addr: Addr<A>) {
        self.0.send_modify(|slot| *slot = Published { generation: slot.generation + 1, addr: Some(addr) });
    }

    /// A handle on whatever this slot will hold.
    pub(crate) fn handle(&self) -> ActorHandle<A> {
        ActorHandle(self.0.subscribe())
    }
}

/// Asks the actor, whichever generation it is in.
pub(crate) struct ActorHandle<A: Actor>(watch::Receiver<Published<A>>);

impl<A: Actor> Clone for ActorHandle<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// How one attempt to ask ended.
enum Asked<R> {
    Answered(R),
    /// The actor is gone, or another took its place.
    Gone,
    /// The actor lives, but this one request was dropped: its future panicked.
    Dropped,
    Late,
}

impl<A: Actor> ActorHandle<A> {
    /// The actor's answer.
    ///
    /// # Errors
    /// `DeadlineExceeded` when no generation answered in time; `Internal` when a live actor keeps dropping it.
    pub(crate) async fn ask<J: Job>(&self, job: J, deadline: Instant) -> Result<J::Answer, KmsError>
    where
        A: Handler<Ask<J>>,
        A::Context: ToEnvelope<A, Ask<J>>,
    {
        let mut slot = self.0.clone();
        let (mut drops, mut dropped_by) = (0, 0);
        loop {
            let (generation, addr) = current(&mut slot);
            let asked = match addr {
                Some(addr) => ask_once(&mut slot, &addr, job.clone(), deadline).await,
                None => Asked::Gone,
            };
            match asked {
                Asked::Answered(answer) => return Ok(answer),
                Asked::Late => return Err(KmsError::deadline("an answer")),
                Asked::Gone => next_generation(&mut slot, generation, deadline).await?,
                Asked::Dropped => {
                    drops = if dropped_by == generation { drops + 1 } else { 1 };
                    dropped_by = generation;
                    if drops == DROPS_PER_GENERATION {
                        return Err(KmsError::internal("the request failed inside the plugin; see its log"));
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

fn current<A: Actor>(slot: &mut watch::Receiver<Published<A>>) -> (u64, Option<Addr<A>>) {
    let published = slot.borrow_and_update();
    (published.generation, published.addr.clone())
}

async fn ask_once<A, J>(
    slot: &mut watch::Receiver<Published<A>>,
    addr: &Addr<A>,
    job: J,
    deadline: Instant,
) -> Asked<J::Answer>
where
    J: Job,
    A: Handler<Ask<J>>,
    A::Context: ToEnvelope<A, Ask<J>>,
{
    let abandoned = CancellationToken::new();
    let _waiting = abandoned.clone().drop_guard();
    let ask = Ask { job, span: Span::current(), abandoned };
    tokio::select! {
        biased;
        answer = addr.send(ask) => match answer {
            Ok(Some(answer)) => Asked::Answered(answer),
            Ok(None) | Err(MailboxError::Closed) if addr.connected() => Asked::Dropped,
            Ok(None) | Err(_) => Asked::Gone,
        },
        Ok(()) = slot.changed() => Asked::Gone,
        () = sleep_until(deadline + GRACE) => Asked::Late,
    }
}

async fn next_generation<A: Actor>(
    slot: &mut watch::Receiver<Published<A>>,
    after: u64,
    deadline: Instant,
) -> Result<(), KmsError> {
    tokio::select! {
        next = slot.wait_for(|published| published.generation > after) => match next {
            Ok(_) => Ok(()),
            Err(_) => Err(KmsError::new(Code::Unavailable, "the plugin is stopping")),
        },
        () = sleep_until(deadline) => Err(KmsError::deadline("an actor that is being restarted")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use actix::{ActorContext, Context, ResponseFuture};

    use super::*;

    #[derive(Clone, Copy)]
    enum Mood {
        Fine,
        Deaf,
        Dropping,
    }

    /// Every job holds the counter while it runs.
    struct Echo(Mood, Arc<()>);

    fn echo(mood: Mood) -> Addr<Echo> {
        Echo(mood, Arc::default()).start()
    }

    impl Actor for Echo {
        type Context = Context<Self>;
    }

    #[derive(Clone)]
    struct Say(u32);

    impl Job for Say {
        type Answer = u32;
    }

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Die;

    impl Handler<Ask<Say>> for Echo {
        type Result = ResponseFuture<Option<u32>>;

        fn handle(&mut self, ask: Ask<Say>, _: &mut Self::Context) -> Self::Result {
            let (mood, ended) = (self.0, self.1.clone());
            Box::pin(ask.answer(move |Say(number)| async move {
                let _ended = ended;
                match mood {
                    Mood::Fine => number,
                    Mood::Deaf => std::future::pending().await,
                    Mood::Dropping => panic!("one request fails"),
                }
            }))
        }
    }

    impl Handler<Die> for Echo {
        type Result = ();

        fn handle(&mut self, _: Die, ctx: &mut Self::Context) {
            ctx.stop();
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(3)
    }

    #[actix::test]
    async fn who_asks_before_the_actor_is_there_waits_for_it() {
        let slot = ActorSlot::empty();
        let handle = slot.handle();
        let asking = actix_rt::spawn(async move { handle.ask(Say(1), soon()).await });
        tokio::task::yield_now().await;
        slot.publish(echo(Mood::Fine));
        assert_eq!(asking.await.unwrap(), Ok(1));
    }

    #[actix::test]
    async fn a_request_that_meets_a_dead_actor_is_answered_by_the_next_one() {
        let slot = ActorSlot::empty();
        let first = echo(Mood::Fine);
        slot.publish(first.clone());
        first.send(Die).await.unwrap();
        let handle = slot.handle();
        let asking = actix_rt::spawn(async move { handle.ask(Say(2), soon()).await });
        tokio::task::yield_now().await;
        slot.publish(echo(Mood::Fine));
        assert_eq!(asking.await.unwrap(), Ok(2));
    }

    #[actix::test]
    async fn a_request_stuck_in_a_hung_actor_moves_to_its_replacement() {
        let slot = ActorSlot::empty();
        slot.publish(echo(Mood::Deaf));
        let handle = slot.handle();
        let asking = actix_rt::spawn(async move { handle.ask(Say(3), soon()).await });
        tokio::task::yield_now().await;
        slot.publish(echo(Mood::Fine));
        assert_eq!(asking.await.unwrap(), Ok(3));
    }

    #[actix::test]
    async fn a_request_that_always_panics_ends_with_an_internal_error() {
        tokio::time::pause();
        let slot = ActorSlot::empty();
        slot.publish(echo(Mood::Dropping));
        assert_eq!(slot.handle().ask(Say(4), soon()).await.unwrap_err().code, Code::Internal);
    }

    #[actix::test]
    async fn the_deadline_holds_with_a_deaf_actor_and_without_any() {
        tokio::time::pause();
        let slot = ActorSlot::empty();
        let late =
            |result: Result<u32, KmsError>| assert_eq!(result.unwrap_err().code, Code::DeadlineExceeded);
        late(slot.handle().ask(Say(5), soon()).await);
        slot.publish(echo(Mood::Deaf));
        late(slot.handle().ask(Say(5), soon()).await);
    }

    #[actix::test]
    async fn a_job_ends_when_its_asker_goes() {
        let slot = ActorSlot::empty();
        let running = Arc::new(());
        slot.publish(Echo(Mood::Deaf, running.clone()).start());
        let handle = slot.handle();
        let asking = actix_rt::spawn(async move { handle.ask(Say(6), soon()).await });
        while Arc::strong_count(&running) < 3 {
            tokio::task::yield_now().await; // one here, one in the actor, one in the job
        }
        asking.abort();
        while Arc::strong_count(&running) > 2 {
            tokio::task::yield_now().await;
        }
    }
}
