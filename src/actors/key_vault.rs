//! The `KeyVaultActor`: the only owner of the vault client. Every key operation of the process goes through it.
//!
//! Asked by the gRPC handlers. Each operation runs as a future of its own, so the actor stays free, and a panic in
//! one of them fails that one request.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, SpawnHandle, WrapFuture};
use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::handle::{ActorHandle, ActorSlot, Ask, Job};
use super::reload::ActiveCredential;
use super::subscribe::on_change;
use super::supervision::{Control, Lifeline};
use crate::backoff;
use crate::config::Access;
use crate::kms::{Decrypted, Encrypted, KeyVersion, KmsError};
use crate::telemetry::{LIFECYCLE, LogDedup, log_or_debug};
use crate::vault::{DecryptJob, EncryptJob, Engine, KeyOperations};

/// The time limit of one attempt to warm up.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(10);
/// The time after which a new generation takes requests though it is not warm: when Key Vault does not answer,
/// callers learn the reason within their deadlines.
const WARM_UP_LIMIT: Duration = Duration::from_secs(1);
/// The first pause between two attempts to warm up.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, before jitter.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Job for EncryptJob {
    type Answer = Result<Encrypted, KmsError>;
}

impl Job for DecryptJob {
    type Answer = Result<Decrypted, KmsError>;
}

/// The one hop of a request inside the process: callers wait for the actor's next generation if they have to.
#[async_trait]
impl KeyOperations for ActorHandle<KeyVaultActor> {
    async fn encrypt(&self, job: EncryptJob) -> Result<Encrypted, KmsError> {
        let deadline = job.deadline;
        self.ask(job, deadline).await?
    }

    async fn decrypt(&self, job: DecryptJob) -> Result<Decrypted, KmsError> {
        let deadline = job.deadline;
        self.ask(job, deadline).await?
    }
}

/// A function that creates an engine, with a vault client of its own, for an access.
pub(crate) type EngineFactory = dyn Fn(&Access) -> Result<Engine, String> + Send + Sync;

/// The dependencies of the actor, and the state that outlives it.
#[derive(Clone)]
pub(crate) struct KeyVaultParts {
    /// The factory of engines, called with the access in use.
    pub engine: Arc<EngineFactory>,
    /// The access in use.
    pub active: Arc<watch::Sender<ActiveCredential>>,
    /// The key version that is read to warm up the client.
    pub current: Arc<KeyVersion>,
    /// The slot in which each generation publishes its address when it is ready for requests.
    pub slot: Arc<ActorSlot<KeyVaultActor>>,
}

/// The owner of one engine, and with it of one vault client, until the access changes.
pub(crate) struct KeyVaultActor {
    parts: KeyVaultParts,
    engine: Engine,
    active: watch::Receiver<ActiveCredential>,
    /// The warm-up that is under way, and its time limit.
    warm_up: Vec<SpawnHandle>,
    is_published: bool,
    lifeline: Lifeline,
}

impl KeyVaultActor {
    /// Creates an engine for the access in use, and returns a constructor of an actor that owns it.
    ///
    /// # Errors
    /// The engine cannot be created.
    pub(crate) fn prepare(parts: KeyVaultParts) -> Result<impl FnOnce(Lifeline) -> Self + Send, String> {
        let active = parts.active.subscribe();
        let engine = (parts.engine)(&active.borrow().access)?;
        Ok(move |lifeline| Self { parts, engine, active, warm_up: Vec::new(), is_published: false, lifeline })
    }

    /// Warms up an engine, and uses it as soon as it is warm, or when the time limit has passed.
    fn warm_up(&mut self, engine: Engine, ctx: &mut Context<Self>) {
        for earlier in self.warm_up.drain(..) {
            ctx.cancel_future(earlier);
        }
        let (warm, not_warm) = (engine.clone(), engine.clone());
        let warmed = warm_up(engine, self.parts.current.clone()).into_actor(self);
        let warmed = warmed.map(move |(), actor, ctx| actor.use_engine(warm, ctx));
        let timed_out = sleep(WARM_UP_LIMIT).into_actor(self);
        let timed_out = timed_out.map(move |(), actor, ctx| actor.use_engine(not_warm, ctx));
        self.warm_up = vec![ctx.spawn(warmed), ctx.spawn(timed_out)];
    }

    /// Uses that engine for new jobs; those that run finish on the engine before.
    fn use_engine(&mut self, engine: Engine, ctx: &mut Context<Self>) {
        self.engine = engine;
        if !std::mem::replace(&mut self.is_published, true) {
            self.parts.slot.publish(self.lifeline.generation(), ctx.address());
        }
    }

    /// Switches to a new engine, for the active access.
    fn switch_access(&mut self, ctx: &mut Context<Self>) {
        let access = self.active.borrow_and_update().access.clone();
        match (self.parts.engine)(&access) {
            Ok(engine) => self.warm_up(engine, ctx),
            Err(problem) => {
                tracing::error!(target: LIFECYCLE, err = problem, "The new access cannot be used");
            }
        }
    }
}

impl Actor for KeyVaultActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        on_change(self.active.clone(), Self::switch_access, ctx);
        self.warm_up(self.engine.clone(), ctx);
    }
}

async fn warm_up(engine: Engine, key: Arc<KeyVersion>) {
    let logged = LogDedup::repeating();
    for pause in backoff::jittered(FIRST_PAUSE, LONGEST_PAUSE) {
        let Err(error) = engine.warm_up(&key, Instant::now() + WARM_UP_TIMEOUT).await else { return };
        let (cause, retry_in_ms) = (error.cause.as_deref(), pause.as_millis());
        let should_log = logged.should_log(error.kind.clone());
        log_or_debug!(should_log, warn, err = %error, cause, retry_in_ms, "The key could not be read yet");
        sleep(pause).await;
    }
}

impl Handler<Ask<EncryptJob>> for KeyVaultActor {
    type Result = ResponseFuture<Option<Result<Encrypted, KmsError>>>;

    fn handle(&mut self, ask: Ask<EncryptJob>, _: &mut Self::Context) -> Self::Result {
        let engine = self.engine.clone();
        Box::pin(ask.answer(|job| async move { engine.encrypt(&job).await }))
    }
}

impl Handler<Ask<DecryptJob>> for KeyVaultActor {
    type Result = ResponseFuture<Option<Result<Decrypted, KmsError>>>;

    fn handle(&mut self, ask: Ask<DecryptJob>, _: &mut Self::Context) -> Self::Result {
        let engine = self.engine.clone();
        Box::pin(ask.answer(|job| async move { engine.decrypt(&job).await }))
    }
}

impl Handler<Control> for KeyVaultActor {
    type Result = ();

    fn handle(&mut self, message: Control, ctx: &mut Self::Context) {
        message.apply(ctx);
    }
}
