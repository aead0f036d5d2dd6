//! The address that survives restarts: `handover` for actors of actix.

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, Message};
use tokio::time::Instant;

use super::handover::{Ask, AskError, Generation, Handle, Job, Slot};
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
    fn deliver(&self, ask: Ask<J>) -> impl Future<Output = Option<J::Answer>> + Send {
        let answer = self.send(ask);
        async { answer.await.ok().flatten() } // an error: its mailbox is closed
    }

    fn is_alive(&self) -> bool {
        self.connected()
    }
}

/// The place where each generation of an actor publishes its address.
pub(crate) struct ActorSlot<A: Actor>(Slot<Addr<A>>);

impl<A: Actor> ActorSlot<A> {
    /// Creates a slot without an actor.
    pub(crate) fn empty() -> Self {
        Self(Slot::empty())
    }

    /// Publishes the address of a generation, unless a later one was published.
    pub(crate) fn publish(&self, generation: u64, addr: Addr<A>) {
        self.0.publish(generation, addr);
    }

    /// Returns a handle that asks the generations of this slot.
    pub(crate) fn handle(&self) -> ActorHandle<A> {
        ActorHandle(self.0.handle())
    }
}

/// A handle on an actor, whichever generation runs.
pub(crate) struct ActorHandle<A: Actor>(Handle<Addr<A>>);

impl<A: Actor> Clone for ActorHandle<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A: Actor> ActorHandle<A> {
    /// Asks the actor, and its next generations if it ends, and returns the answer.
    ///
    /// # Errors
    /// `DeadlineExceeded` when no generation answers before the deadline, `Internal` when one generation keeps
    /// dropping the job, `Unavailable` when the plugin is stopping.
    pub(crate) async fn ask<J: Job>(&self, job: J, deadline: Instant) -> Result<J::Answer, KmsError>
    where
        A: Handler<Ask<J>>,
        A::Context: ToEnvelope<A, Ask<J>>,
    {
        self.0.ask(job, deadline).await.map_err(|error| match error {
            AskError::DeadlineExceeded => KmsError::deadline("an answer"),
            AskError::Restarting => KmsError::deadline("an actor that is being restarted"),
            AskError::Dropped => KmsError::internal("the request failed inside the plugin; see its log"),
            AskError::Stopping => KmsError::new(Code::Unavailable, "the plugin is stopping"),
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
    enum Behavior {
        Answers,
        Hangs,
        Drops,
    }

    /// An actor whose every job holds the counter while it runs.
    struct Echo(Behavior, Arc<()>);

    fn echo(behavior: Behavior) -> Addr<Echo> {
        Echo(behavior, Arc::default()).start()
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
    struct Stop;

    impl Handler<Ask<Say>> for Echo {
        type Result = ResponseFuture<Option<u32>>;

        fn handle(&mut self, ask: Ask<Say>, _: &mut Self::Context) -> Self::Result {
            let (behavior, counter) = (self.0, self.1.clone());
            Box::pin(ask.answer(move |Say(number)| async move {
                let _counter = counter;
                match behavior {
                    Behavior::Answers => number,
                    Behavior::Hangs => std::future::pending().await,
                    Behavior::Drops => panic!("one request fails"),
                }
            }))
        }
    }

    impl Handler<Stop> for Echo {
        type Result = ();

        fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
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
        slot.publish(1, echo(Behavior::Answers));
        assert_eq!(asking.await.unwrap(), Ok(1));
    }

    #[actix::test]
    async fn a_request_that_meets_a_dead_actor_is_answered_by_the_next_one() {
        let slot = ActorSlot::empty();
        let first = echo(Behavior::Answers);
        slot.publish(1, first.clone());
        first.send(Stop).await.unwrap();
        let handle = slot.handle();
        let asking = actix_rt::spawn(async move { handle.ask(Say(2), soon()).await });
        tokio::task::yield_now().await;
        slot.publish(2, echo(Behavior::Answers));
        assert_eq!(asking.await.unwrap(), Ok(2));
    }

    #[actix::test]
    async fn a_request_stuck_in_a_hung_actor_moves_to_its_replacement() {
        let slot = ActorSlot::empty();
        slot.publish(1, echo(Behavior::Hangs));
        let handle = slot.handle();
        let asking = actix_rt::spawn(async move { handle.ask(Say(3), soon()).await });
        tokio::task::yield_now().await;
        slot.publish(2, echo(Behavior::Answers));
        assert_eq!(asking.await.unwrap(), Ok(3));
    }

    #[actix::test]
    async fn a_request_that_always_panics_ends_with_an_internal_error() {
        tokio::time::pause();
        let slot = ActorSlot::empty();
        slot.publish(1, echo(Behavior::Drops));
        assert_eq!(slot.handle().ask(Say(4), soon()).await.unwrap_err().code, Code::Internal);
    }

    #[actix::test]
    async fn the_deadline_holds_with_a_deaf_actor_and_without_any() {
        tokio::time::pause();
        let slot = ActorSlot::empty();
        let assert_late =
            |result: Result<u32, KmsError>| assert_eq!(result.unwrap_err().code, Code::DeadlineExceeded);
        assert_late(slot.handle().ask(Say(5), soon()).await);
        slot.publish(1, echo(Behavior::Hangs));
        assert_late(slot.handle().ask(Say(5), soon()).await);
    }

    #[actix::test]
    async fn a_job_ends_when_its_asker_goes() {
        let slot = ActorSlot::empty();
        let running = Arc::new(());
        slot.publish(1, Echo(Behavior::Hangs, running.clone()).start());
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
        slot.publish(2, echo(Behavior::Answers));
        slot.publish(1, echo(Behavior::Hangs));
        assert_eq!(slot.handle().ask(Say(7), soon()).await, Ok(7));
    }
}
