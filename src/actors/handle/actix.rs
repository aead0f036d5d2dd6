//! An address that survives restarts: `handover` for actors of actix.

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, Message};
use tokio::time::Instant;

use super::handover::{Ask, Asker, Generation, Job, Slot, Unanswered};
use crate::kms::{Code, KmsError};

impl<J: Job> Message for Ask<J> {
    type Result = Option<J::Answer>;
}

impl<A, J> Generation<J> for Addr<A>
where
    J: Job,
    A: Actor + Handler<Ask<J>>,
    A::Context: ToEnvelope<A, Ask<J>>,
{
    fn give(&self, ask: Ask<J>) -> impl Future<Output = Option<J::Answer>> + Send {
        let answer = self.send(ask);
        async { answer.await.ok().flatten() } // an error: its mailbox is closed
    }

    fn lives(&self) -> bool {
        self.connected()
    }
}

/// Where the factory of an actor publishes each new address.
pub(crate) struct ActorSlot<A: Actor>(Slot<Addr<A>>);

impl<A: Actor> ActorSlot<A> {
    /// A slot without an actor yet.
    pub(crate) fn empty() -> Self {
        Self(Slot::empty())
    }

    /// Publishes that generation, unless a later one was.
    pub(crate) fn publish(&self, generation: u64, addr: Addr<A>) {
        self.0.publish(generation, addr);
    }

    /// A handle on whatever this slot will hold.
    pub(crate) fn handle(&self) -> ActorHandle<A> {
        ActorHandle(self.0.asker())
    }
}

/// Asks the actor, whichever generation it is in.
pub(crate) struct ActorHandle<A: Actor>(Asker<Addr<A>>);

impl<A: Actor> Clone for ActorHandle<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
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
        self.0.ask(job, deadline).await.map_err(|unanswered| match unanswered {
            Unanswered::Late => KmsError::deadline("an answer"),
            Unanswered::Restarting => KmsError::deadline("an actor that is being restarted"),
            Unanswered::Dropped => KmsError::internal("the request failed inside the plugin; see its log"),
            Unanswered::Stopping => KmsError::new(Code::Unavailable, "the plugin is stopping"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

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
        slot.publish(1, echo(Mood::Fine));
        assert_eq!(asking.await.unwrap(), Ok(1));
    }

    #[actix::test]
    async fn a_request_that_meets_a_dead_actor_is_answered_by_the_next_one() {
        let slot = ActorSlot::empty();
        let first = echo(Mood::Fine);
        slot.publish(1, first.clone());
        first.send(Die).await.unwrap();
        let handle = slot.handle();
        let asking = actix_rt::spawn(async move { handle.ask(Say(2), soon()).await });
        tokio::task::yield_now().await;
        slot.publish(2, echo(Mood::Fine));
        assert_eq!(asking.await.unwrap(), Ok(2));
    }

    #[actix::test]
    async fn a_request_stuck_in_a_hung_actor_moves_to_its_replacement() {
        let slot = ActorSlot::empty();
        slot.publish(1, echo(Mood::Deaf));
        let handle = slot.handle();
        let asking = actix_rt::spawn(async move { handle.ask(Say(3), soon()).await });
        tokio::task::yield_now().await;
        slot.publish(2, echo(Mood::Fine));
        assert_eq!(asking.await.unwrap(), Ok(3));
    }

    #[actix::test]
    async fn a_request_that_always_panics_ends_with_an_internal_error() {
        tokio::time::pause();
        let slot = ActorSlot::empty();
        slot.publish(1, echo(Mood::Dropping));
        assert_eq!(slot.handle().ask(Say(4), soon()).await.unwrap_err().code, Code::Internal);
    }

    #[actix::test]
    async fn the_deadline_holds_with_a_deaf_actor_and_without_any() {
        tokio::time::pause();
        let slot = ActorSlot::empty();
        let late =
            |result: Result<u32, KmsError>| assert_eq!(result.unwrap_err().code, Code::DeadlineExceeded);
        late(slot.handle().ask(Say(5), soon()).await);
        slot.publish(1, echo(Mood::Deaf));
        late(slot.handle().ask(Say(5), soon()).await);
    }

    #[actix::test]
    async fn a_job_ends_when_its_asker_goes() {
        let slot = ActorSlot::empty();
        let running = Arc::new(());
        slot.publish(1, Echo(Mood::Deaf, running.clone()).start());
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

    #[actix::test]
    async fn a_generation_that_comes_late_does_not_take_the_place_of_its_replacement() {
        let slot = ActorSlot::empty();
        slot.publish(2, echo(Mood::Fine));
        slot.publish(1, echo(Mood::Deaf));
        assert_eq!(slot.handle().ask(Say(7), soon()).await, Ok(7));
    }
}
