//! The `KeyVaultActor`: the only owner of the vault client. Every key operation of the process goes through it.
//!
//! Asked by the gRPC handlers. Operations run as futures of their own, so the actor stays free, and a panic in one
//! of them fails that one request.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, ResponseFuture, WrapFuture};
use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use super::control::{Control, Lifeline};
use super::handle::{ActorHandle, Ask, Job};
use crate::backoff;
use crate::kms::{KeyVersion, KmsError, Plaintext, Sealed};
use crate::vault::{Engine, KeyOperations, Open, Seal};

/// How long one attempt to warm up may take.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(10);
/// The first pause between two attempts.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest, before jitter.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Job for Seal {
    type Answer = Result<Sealed, KmsError>;
}

impl Job for Open {
    type Answer = Result<Plaintext, KmsError>;
}

/// The one hop of a request: whoever asks waits for the actor's next generation if it has to.
#[async_trait]
impl KeyOperations for ActorHandle<KeyVaultActor> {
    async fn seal(&self, job: Seal) -> Result<Sealed, KmsError> {
        let deadline = job.deadline;
        self.ask(job, deadline).await?
    }

    async fn open(&self, job: Open) -> Result<Plaintext, KmsError> {
        let deadline = job.deadline;
        self.ask(job, deadline).await?
    }
}

/// Owns one engine, and with it one vault client, for one generation.
pub(crate) struct KeyVaultActor {
    engine: Arc<Engine>,
    current: Arc<KeyVersion>,
    _lifeline: Lifeline,
}

impl KeyVaultActor {
    /// An actor on that engine, which reads the key `current` once to warm the client up.
    pub(crate) fn new(engine: Engine, current: Arc<KeyVersion>, lifeline: Lifeline) -> Self {
        Self { engine: Arc::new(engine), current, _lifeline: lifeline }
    }
}

impl Actor for KeyVaultActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(warm_up(self.engine.clone(), self.current.clone()).into_actor(self));
    }
}

async fn warm_up(engine: Arc<Engine>, key: Arc<KeyVersion>) {
    for pause in backoff::jittered(FIRST_PAUSE, LONGEST_PAUSE) {
        let Err(error) = engine.warm_up(&key, Instant::now() + WARM_UP_TIMEOUT).await else { return };
        let cause = error.cause.as_deref().unwrap_or_default();
        tracing::warn!(err = %error, cause, retry_in_ms = pause.as_millis(), "The key could not be read yet");
        sleep(pause).await;
    }
}

impl Handler<Ask<Seal>> for KeyVaultActor {
    type Result = ResponseFuture<Option<Result<Sealed, KmsError>>>;

    fn handle(&mut self, ask: Ask<Seal>, _: &mut Self::Context) -> Self::Result {
        let engine = self.engine.clone();
        Box::pin(ask.answer(|job| async move { engine.seal(&job).await }))
    }
}

impl Handler<Ask<Open>> for KeyVaultActor {
    type Result = ResponseFuture<Option<Result<Plaintext, KmsError>>>;

    fn handle(&mut self, ask: Ask<Open>, _: &mut Self::Context) -> Self::Result {
        let engine = self.engine.clone();
        Box::pin(ask.answer(|job| async move { engine.open(&job).await }))
    }
}

impl Handler<Control> for KeyVaultActor {
    type Result = ();

    fn handle(&mut self, message: Control, ctx: &mut Self::Context) {
        message.apply(ctx);
    }
}
