//! The `KeyVaultActor`: the only owner of the vault client. Every key operation of the process goes through it.
//!
//! Asked by the gRPC handlers. Operations run as futures of their own, so the actor stays free, and a panic in one
//! of them fails that one request.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture};
use tokio::time::{Instant, sleep};
use tracing::{Instrument, Span};

use super::control::{Control, Lifeline};
use crate::kms::{KeyVersion, KmsError, Plaintext, Sealed};
use crate::vault::{Engine, Open, Seal};

/// How long one attempt to warm up may take.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause between two attempts.
const WARM_UP_PAUSE: Duration = Duration::from_secs(2);

/// A job, and the log span of the request it belongs to.
#[derive(Clone)]
pub(crate) struct InSpan<J>(pub J, pub Span);

impl Message for InSpan<Seal> {
    type Result = Result<Sealed, KmsError>;
}

impl Message for InSpan<Open> {
    type Result = Result<Plaintext, KmsError>;
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
    while let Err(error) = engine.warm_up(&key, Instant::now() + WARM_UP_TIMEOUT).await {
        tracing::warn!(err = %error, "The key could not be read yet");
        sleep(WARM_UP_PAUSE).await;
    }
}

impl Handler<InSpan<Seal>> for KeyVaultActor {
    type Result = ResponseFuture<Result<Sealed, KmsError>>;

    fn handle(&mut self, InSpan(job, span): InSpan<Seal>, _: &mut Self::Context) -> Self::Result {
        let engine = self.engine.clone();
        Box::pin(async move { engine.seal(&job).await }.instrument(span))
    }
}

impl Handler<InSpan<Open>> for KeyVaultActor {
    type Result = ResponseFuture<Result<Plaintext, KmsError>>;

    fn handle(&mut self, InSpan(job, span): InSpan<Open>, _: &mut Self::Context) -> Self::Result {
        let engine = self.engine.clone();
        Box::pin(async move { engine.open(&job).await }.instrument(span))
    }
}

impl Handler<Control> for KeyVaultActor {
    type Result = ();

    fn handle(&mut self, message: Control, ctx: &mut Self::Context) {
        message.apply(ctx);
    }
}
