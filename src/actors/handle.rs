//! An address that survives restarts: who asks through it waits for the next generation of the actor.

use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, MailboxError, Message};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::kms::{Code, KmsError};

/// How often one live actor is asked again after it dropped a request.
const DROPS_PER_GENERATION: u32 = 3;
/// The pause before a live actor is asked again.
const PAUSE: Duration = Duration::from_millis(20);
/// An actor at work answers at the deadline itself and says what it waited for; only a deaf one is later than this.
const GRACE: Duration = Duration::from_millis(25);

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
    /// The actor's answer. The message may be handled more than once: send only what is idempotent.
    ///
    /// # Errors
    /// `DeadlineExceeded` when no generation answered in time; `Internal` when a live actor keeps dropping it.
    pub(crate) async fn ask<M>(&self, message: M, deadline: Instant) -> Result<M::Result, KmsError>
    where
        M: Message + Clone + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let mut slot = self.0.clone();
        let (mut drops, mut dropped_by) = (0, 0);
        loop {
            let (generation, addr) = current(&mut slot);
            let asked = match addr {
                Some(addr) => ask_once(&mut slot, &addr, message.clone(), deadline).await,
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

async fn ask_once<A, M>(
    slot: &mut watch::Receiver<Published<A>>,
    addr: &Addr<A>,
    message: M,
    deadline: Instant,
) -> Asked<M::Result>
where
    M: Message + Send + 'static,
    M::Result: Send,
    A: Handler<M>,
    A::Context: ToEnvelope<A, M>,
{
    tokio::select! {
        biased;
        answer = addr.send(message) => match answer {
            Ok(answer) => Asked::Answered(answer),
            Err(MailboxError::Closed) if addr.connected() => Asked::Dropped,
            Err(_) => Asked::Gone,
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
    use actix::{ActorContext, Context, ResponseFuture};

    use super::*;

    #[derive(Clone, Copy)]
    enum Mood {
        Fine,
        Deaf,
        Dropping,
    }

    struct Echo(Mood);

    impl Actor for Echo {
        type Context = Context<Self>;
    }

    #[derive(Clone, Message)]
    #[rtype(result = "u32")]
    struct Say(u32);

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Die;

    impl Handler<Say> for Echo {
        type Result = ResponseFuture<u32>;

        fn handle(&mut self, Say(number): Say, _: &mut Self::Context) -> Self::Result {
            let mood = self.0;
            Box::pin(async move {
                match mood {
                    Mood::Fine => number,
                    Mood::Deaf => std::future::pending().await,
                    Mood::Dropping => panic!("one request fails"),
                }
            })
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
        slot.publish(Echo(Mood::Fine).start());
        assert_eq!(asking.await.unwrap(), Ok(1));
    }

    #[actix::test]
    async fn a_request_that_meets_a_dead_actor_is_answered_by_the_next_one() {
        let slot = ActorSlot::empty();
        let first = Echo(Mood::Fine).start();
        slot.publish(first.clone());
        first.send(Die).await.unwrap();
        let handle = slot.handle();
        let asking = actix_rt::spawn(async move { handle.ask(Say(2), soon()).await });
        tokio::task::yield_now().await;
        slot.publish(Echo(Mood::Fine).start());
        assert_eq!(asking.await.unwrap(), Ok(2));
    }

    #[actix::test]
    async fn a_request_stuck_in_a_hung_actor_moves_to_its_replacement() {
        let slot = ActorSlot::empty();
        slot.publish(Echo(Mood::Deaf).start());
        let handle = slot.handle();
        let asking = actix_rt::spawn(async move { handle.ask(Say(3), soon()).await });
        tokio::task::yield_now().await;
        slot.publish(Echo(Mood::Fine).start());
        assert_eq!(asking.await.unwrap(), Ok(3));
    }

    #[actix::test]
    async fn a_request_that_always_panics_ends_with_an_internal_error() {
        tokio::time::pause();
        let slot = ActorSlot::empty();
        slot.publish(Echo(Mood::Dropping).start());
        assert_eq!(slot.handle().ask(Say(4), soon()).await.unwrap_err().code, Code::Internal);
    }

    #[actix::test]
    async fn the_deadline_holds_with_a_deaf_actor_and_without_any() {
        tokio::time::pause();
        let slot = ActorSlot::empty();
        let late =
            |result: Result<u32, KmsError>| assert_eq!(result.unwrap_err().code, Code::DeadlineExceeded);
        late(slot.handle().ask(Say(5), soon()).await);
        slot.publish(Echo(Mood::Deaf).start());
        late(slot.handle().ask(Say(5), soon()).await);
    }
}
