//! The `KeyVaultActor`: the only owner of the vault client. Every key operation of the process goes through it.
//!
//! Asked by the gRPC handlers. Operations run as futures of their own, so the actor stays free, and a panic in one
//! of them fails that one request.

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

/// How long one attempt to warm up may take.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a new generation keeps requests waiting while it warms up: when Key Vault does not answer, they are to
/// learn it from here, and in time.
const TAKES_TRAFFIC_AFTER: Duration = Duration::from_secs(1);
/// The first pause between two attempts.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest, before jitter.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Job for EncryptJob {
    type Answer = Result<Encrypted, KmsError>;
}

impl Job for DecryptJob {
    type Answer = Result<Decrypted, KmsError>;
}

/// The one hop of a request: whoever asks waits for the actor's next generation if it has to.
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

/// Makes an engine with a vault client of its own.
pub(crate) type EngineFactory = dyn Fn(&Access) -> Result<Engine, String> + Send + Sync;

/// What the actor needs, and what outlives it.
#[derive(Clone)]
pub(crate) struct KeyVaultParts {
    /// Makes the engine, of the access in use.
    pub engine: Arc<EngineFactory>,
    /// The access in use.
    pub active: Arc<watch::Sender<ActiveCredential>>,
    /// The key version that is read once to warm the client up.
    pub current: Arc<KeyVersion>,
    /// Where each generation publishes its address when it is ready for traffic.
    pub slot: Arc<ActorSlot<KeyVaultActor>>,
}

/// Owns one engine, and with it one vault client, until the access changes.
pub(crate) struct KeyVaultActor {
    parts: KeyVaultParts,
    engine: Engine,
    active: watch::Receiver<ActiveCredential>,
    warming_up: Vec<SpawnHandle>,
    takes_traffic: bool,
    lifeline: Lifeline,
}

impl KeyVaultActor {
    /// What makes an actor on an engine of the access in use.
    ///
    /// # Errors
    /// The engine cannot be made; says why.
    pub(crate) fn prepare(parts: KeyVaultParts) -> Result<impl FnOnce(Lifeline) -> Self + Send, String> {
        let active = parts.active.subscribe();
        let engine = (parts.engine)(&active.borrow().access)?;
        Ok(move |lifeline| Self {
            parts,
            engine,
            active,
            warming_up: Vec::new(),
            takes_traffic: false,
            lifeline,
        })
    }

    /// Warms an engine up, and goes on with it: when it is warm, or when Key Vault lets nobody warm it.
    fn warm_up(&mut self, engine: Engine, ctx: &mut Context<Self>) {
        for earlier in self.warming_up.drain(..) {
            ctx.cancel_future(earlier);
        }
        let (warm, late) = (engine.clone(), engine.clone());
        let warmed = warm_up(engine, self.parts.current.clone()).into_actor(self);
        let warmed = warmed.map(move |(), actor, ctx| actor.go_on_with(warm, ctx));
        let waited = sleep(TAKES_TRAFFIC_AFTER).into_actor(self);
        let waited = waited.map(move |(), actor, ctx| actor.go_on_with(late, ctx));
        self.warming_up = vec![ctx.spawn(warmed), ctx.spawn(waited)];
    }

    /// Jobs that run end on the engine before.
    fn go_on_with(&mut self, engine: Engine, ctx: &mut Context<Self>) {
        self.engine = engine;
        if !std::mem::replace(&mut self.takes_traffic, true) {
            self.parts.slot.publish(self.lifeline.generation(), ctx.address());
        }
    }

    /// Makes another engine, for the new access.
    fn adopt(&mut self, ctx: &mut Context<Self>) {
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
        on_change(self.active.clone(), Self::adopt, ctx);
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
