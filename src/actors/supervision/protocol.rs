//! The messages between the supervisor and its children, and the drop guard that reports the end of a child.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "fault-injection")]
use actix::AsyncContext;
use actix::{Actor, ActorContext, Context, Message, Recipient};
use tokio::sync::watch;

/// The supervised actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ActorName {
    /// The actor that refreshes the token.
    Token,
    /// The actor that owns the vault client.
    KeyVault,
    /// The actor that probes our own socket.
    Health,
    /// The actor that activates changed credentials.
    Reload,
}

impl ActorName {
    /// Returns the name in logs, labels and paths.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::KeyVault => "key-vault",
            Self::Health => "health",
            Self::Reload => "reload",
        }
    }
}

/// The reason why an actor failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A handler or a timer panicked.
    Panic,
    /// It could not be started.
    Error,
    /// It did not answer the watchdog.
    Hung,
    /// It stopped, though there was no shutdown.
    Stopped,
}

impl Reason {
    pub(crate) const ALL: [Self; 4] = [Self::Panic, Self::Error, Self::Hung, Self::Stopped];

    /// Returns the name in logs and labels.
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
    /// A request of the watchdog: an actor that returns from it is alive.
    Ping,
    /// A request to stop.
    Stop,
    /// A fault to fail with, to show and to test supervision.
    #[cfg(feature = "fault-injection")]
    InjectFault(Fault),
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
    /// Handles the message, in the same way for every child.
    pub(crate) fn apply<A: Actor<Context = Context<A>>>(self, ctx: &mut Context<A>) {
        match self {
            Self::Ping => {}
            Self::Stop => ctx.stop(),
            #[cfg(feature = "fault-injection")]
            Self::InjectFault(fault) => inject(fault, ctx),
        }
    }
}

#[cfg(feature = "fault-injection")]
#[allow(clippy::panic)]
fn inject<A: Actor<Context = Context<A>>>(fault: Fault, ctx: &mut Context<A>) {
    match fault {
        Fault::Panic => panic!("injected fault"),
        Fault::Stop | Fault::Error => ctx.stop(),
        Fault::Stall => ctx.wait(actix::fut::wrap_future(std::future::pending::<()>())),
        Fault::Block => std::thread::sleep(std::time::Duration::from_secs(60)),
    }
}

/// The report that a child ended.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ChildExited {
    pub(crate) name: ActorName,
    pub(crate) generation: u64,
    pub(crate) reason: Reason,
}

/// A flag that the supervisor sets when it abandons a generation. A hung one may still exist, and resume later.
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

/// A drop guard that an actor holds for as long as it exists: when it is dropped, also by a panic, it reports the end
/// to the supervisor.
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

    /// Returns the generation of the actor that holds it.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the flag by which the supervisor abandons this generation.
    pub(crate) fn abandoned(&self) -> Abandoned {
        self.abandoned.clone()
    }

    /// Publishes an update, unless this generation was abandoned: the state of a hung actor that resumes is stale,
    /// and its replacement has published since. Returns whether it was published.
    pub(crate) fn publish<T>(&self, to: &watch::Sender<T>, update: impl FnOnce(&mut T)) -> bool {
        to.send_if_modified(|state| {
            let is_current = !self.abandoned.is_set();
            if is_current {
                update(state);
            }
            is_current
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

/// Starts a supervisor for tests of one actor; it ignores every end.
#[cfg(test)]
pub(crate) fn no_supervisor() -> Recipient<ChildExited> {
    struct NoSupervisor;

    impl Actor for NoSupervisor {
        type Context = Context<Self>;
    }

    impl actix::Handler<ChildExited> for NoSupervisor {
        type Result = ();

        fn handle(&mut self, _: ChildExited, _: &mut Self::Context) {}
    }

    NoSupervisor.start().recipient()
}
