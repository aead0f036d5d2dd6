//! What the supervisor and its children say to each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "fault-injection")]
use actix::AsyncContext;
use actix::{Actor, ActorContext, Context, Message, Recipient};
use tokio::sync::watch;

/// The supervised actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ActorName {
    /// Keeps an Entra token fresh.
    Token,
    /// Owns the vault client.
    KeyVault,
    /// Probes our own socket.
    Health,
    /// Takes over changed credentials.
    Reload,
}

impl ActorName {
    /// The name in logs, labels and paths.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::KeyVault => "key-vault",
            Self::Health => "health",
            Self::Reload => "reload",
        }
    }
}

/// How an actor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A handler or a timer panicked.
    Panic,
    /// It could not be started.
    Error,
    /// It did not answer the watchdog.
    Hung,
    /// It stopped without being told to by a shutdown.
    Stopped,
}

impl Reason {
    pub(crate) const ALL: [Self; 4] = [Self::Panic, Self::Error, Self::Hung, Self::Stopped];

    /// The label.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Error => "error",
            Self::Hung => "hung",
            Self::Stopped => "stopped",
        }
    }
}

/// The supervisor's messages to any child.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) enum Control {
    /// Are you alive? The answer is the return.
    Ping,
    /// End now.
    Stop,
    /// Misbehave, to show and to test supervision.
    #[cfg(feature = "fault-injection")]
    Misbehave(Fault),
}

/// The ways in which an actor can be made to fail.
#[cfg(feature = "fault-injection")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Panic in a handler.
    Panic,
    /// Stop the context, and fail to start the next time.
    Error,
    /// Stop the context.
    Stop,
    /// Handle no message any more, though the thread is free.
    Stall,
    /// Block the actor's thread for a minute.
    Block,
}

impl Control {
    /// What every child does on such a message.
    pub(crate) fn apply<A: Actor<Context = Context<A>>>(self, ctx: &mut Context<A>) {
        match self {
            Self::Ping => {}
            Self::Stop => ctx.stop(),
            #[cfg(feature = "fault-injection")]
            Self::Misbehave(fault) => misbehave(fault, ctx),
        }
    }
}

#[cfg(feature = "fault-injection")]
#[allow(clippy::panic)]
fn misbehave<A: Actor<Context = Context<A>>>(fault: Fault, ctx: &mut Context<A>) {
    match fault {
        Fault::Panic => panic!("injected fault"),
        Fault::Stop | Fault::Error => ctx.stop(),
        Fault::Stall => ctx.wait(actix::fut::wrap_future(std::future::pending::<()>())),
        Fault::Block => std::thread::sleep(std::time::Duration::from_secs(60)),
    }
}

/// A child ended.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ChildExited {
    pub(crate) name: ActorName,
    pub(crate) generation: u64,
    pub(crate) reason: Reason,
}

/// Whether the supervisor has given a generation up. It may still be there: a hung one can come back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Abandoned(Arc<AtomicBool>);

impl Abandoned {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Held by an actor for as long as it lives. Tells the supervisor of its end, a panic included.
pub(crate) struct Lifeline {
    name: ActorName,
    generation: u64,
    abandoned: Abandoned,
    supervisor: Recipient<ChildExited>,
}

impl Lifeline {
    pub(crate) fn new(name: ActorName, generation: u64, supervisor: Recipient<ChildExited>) -> Self {
        Self { name, generation, abandoned: Abandoned::default(), supervisor }
    }

    /// The generation of the actor that holds it.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// How the supervisor tells that it has given this generation up.
    pub(crate) fn abandoned(&self) -> Abandoned {
        self.abandoned.clone()
    }

    /// Publishes for the actor, unless it was given up: what one that hung comes back with is old, and another has
    /// taken its place. Whether it was published.
    pub(crate) fn publish<T>(&self, to: &watch::Sender<T>, update: impl FnOnce(&mut T)) -> bool {
        to.send_if_modified(|state| {
            let publishes = !self.abandoned.is_set();
            if publishes {
                update(state);
            }
            publishes
        })
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        // an actor that panics is dropped while its thread unwinds
        let reason = if std::thread::panicking() { Reason::Panic } else { Reason::Stopped };
        self.supervisor.do_send(ChildExited { name: self.name, generation: self.generation, reason });
    }
}

/// A supervisor for tests of one actor: takes note of no end.
#[cfg(test)]
pub(crate) fn no_supervisor() -> Recipient<ChildExited> {
    struct Nobody;

    impl Actor for Nobody {
        type Context = Context<Self>;
    }

    impl actix::Handler<ChildExited> for Nobody {
        type Result = ();

        fn handle(&mut self, _: ChildExited, _: &mut Self::Context) {}
    }

    Nobody.start().recipient()
}
