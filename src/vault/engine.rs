//! The call engine: deadline, limits, token, breaker, second attempts and retries around one call to the vault.
//!
//! Used by the `KeyVaultActor`, one engine per generation of the actor. What it must not forget is in [`Traffic`].

mod attempt;

use std::future::Future;
use std::sync::Arc;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument;

use super::breaker::{Down, Permit};
use super::coalesce::Coalesced;
use super::history::History;
use super::lanes::Lanes;
use super::{Connect, Encrypted, Failure, Limiter, Priority, TokenReader, Traffic, Vault, VaultError};
use crate::kms::{Algorithm, Code, Form, KeyId, KeyVersion, KmsError, Opened, Plaintext, Sealed};
use crate::telemetry::{KeyOperation, Metrics};

/// Seal this under that key version, before the deadline.
#[derive(Clone, Debug)]
pub(crate) struct Seal {
    /// The key version to use.
    pub key: Arc<KeyVersion>,
    /// The padding.
    pub algorithm: Algorithm,
    /// What to seal.
    pub plaintext: Plaintext,
    /// How urgent it is.
    pub priority: Priority,
    /// When the caller stops waiting.
    pub deadline: Instant,
}

/// Open this, which was sealed under that key version, before the deadline.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    /// The key version to use.
    pub key: Arc<KeyVersion>,
    /// The padding.
    pub algorithm: Algorithm,
    /// What a plugin of this family wrote.
    pub form: Form,
    /// The bytes that Key Vault made.
    pub ciphertext: Arc<Vec<u8>>,
    /// How urgent it is.
    pub priority: Priority,
    /// When the caller stops waiting.
    pub deadline: Instant,
}

/// What makes two decrypts one.
type SameDecrypt = (KeyId, Algorithm, Arc<Vec<u8>>);

/// One call to make.
#[derive(Clone, Copy)]
struct Order {
    operation: KeyOperation,
    priority: Priority,
    deadline: Instant,
    /// The first attempt is 1.
    attempt: u32,
}

impl Order {
    fn new(operation: KeyOperation, priority: Priority, deadline: Instant) -> Self {
        Self { operation, priority, deadline, attempt: 1 }
    }
}

/// Makes calls to one vault. Clones share everything.
#[derive(Clone)]
pub(crate) struct Engine(Arc<Parts>);

struct Parts {
    lanes: Lanes,
    tokens: TokenReader,
    limiter: Limiter,
    traffic: Arc<Traffic>,
    decrypts: Coalesced<SameDecrypt, Result<Opened, KmsError>>,
    metrics: Arc<Metrics>,
}

impl Engine {
    /// An engine on the vault that `connect` reaches.
    ///
    /// # Errors
    /// There is no client; says why.
    pub(crate) fn new(
        connect: Arc<Connect>,
        tokens: TokenReader,
        traffic: Arc<Traffic>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, String> {
        let (lanes, limiter) = (Lanes::new(connect)?, Limiter::new(traffic.clone()));
        let decrypts = Coalesced::new();
        Ok(Self(Arc::new(Parts { lanes, tokens, limiter, traffic, decrypts, metrics })))
    }

    /// Seals, and checks that Key Vault used the key version it was asked to use and gave a whole ciphertext.
    pub(crate) async fn seal(&self, job: &Seal) -> Result<Sealed, KmsError> {
        let attempt = |vault: Arc<dyn Vault>| async move {
            let encrypted = vault.encrypt(&job.key, job.algorithm, &job.plaintext).await?;
            check(encrypted, &job.key)
        };
        let order = Order::new(KeyOperation::Encrypt, job.priority, job.deadline);
        let encrypted = self.0.call(order, attempt).await?;
        job.key.learn_modulus(encrypted.value.len());
        Ok(Sealed { ciphertext: Form::write(&encrypted.value), receipt: encrypted.receipt })
    }

    /// Opens. Identical jobs that run at the same time cost one call.
    pub(crate) async fn open(&self, job: &Open) -> Result<Opened, KmsError> {
        let same = (job.key.id.clone(), job.algorithm, job.ciphertext.clone());
        let start = || {
            let (parts, job) = (self.0.clone(), job.clone());
            async move { parts.decrypt(&job).await }.in_current_span() // whoever waits for it later
        };
        let shared = self.0.decrypts.run(same, job.deadline, start);
        let in_time = timeout_at(job.deadline, shared).await;
        let Opened { plaintext, request_id } =
            match in_time.unwrap_or_else(|_| Err(KmsError::deadline("the same Decrypt of another caller"))) {
                // the one that was shared had less time
                Err(error) if error.code.may_pass() && self.0.has_time(job.deadline) => {
                    self.0.decrypt(job).await?
                }
                decrypted => decrypted?,
            };
        match job.form.open(plaintext) {
            Ok(plaintext) => Ok(Opened { plaintext, request_id }),
            Err(error) => Err(KmsError { request_id: Some(request_id), ..error }),
        }
    }

    /// Reads the key once: makes the connection, and teaches the SDK the vault's authentication challenge while no
    /// request waits.
    ///
    /// # Errors
    /// A 403 is not one: an identity that may encrypt and decrypt need not be allowed to read the key.
    pub(crate) async fn warm_up(&self, key: &KeyVersion, deadline: Instant) -> Result<(), KmsError> {
        let attempt = |vault: Arc<dyn Vault>| async move {
            match vault.modulus(key).await {
                Err(VaultError { failure: Failure::Forbidden, .. }) => Ok(None),
                other => other.map(Some),
            }
        };
        let order = Order::new(KeyOperation::GetKey, Priority::Probe, deadline);
        if let Some(modulus) = self.0.call(order, attempt).await? {
            key.learn_modulus(modulus);
        }
        Ok(())
    }
}

impl Parts {
    async fn decrypt(&self, job: &Open) -> Result<Opened, KmsError> {
        let attempt = |vault: Arc<dyn Vault>| async move {
            vault.decrypt(&job.key, job.algorithm, &job.ciphertext).await
        };
        let order = Order::new(KeyOperation::Decrypt, job.priority, job.deadline);
        self.call(order, attempt).await
    }

    /// Tries until it succeeds, or until another attempt is of no use or could not end in time.
    async fn call<T, F>(&self, order: Order, attempt: impl Fn(Arc<dyn Vault>) -> F) -> Result<T, KmsError>
    where
        F: Future<Output = Result<T, VaultError>>,
    {
        let mut history = History::new(order.deadline);
        loop {
            let order = Order { attempt: history.attempts() + 1, ..order };
            let wait = match self.permit(order).await {
                Ok(permit) => match self.attempt(order, permit, &attempt).await {
                    Ok(value) => return Ok(value),
                    Err(error) => history.wait_after(error, self.traffic.latencies.typical())?,
                },
                Err(Refused::Down(down)) => history.wait_for_return(down)?,
                Err(Refused::Other(error)) => return Err(history.explain(error)),
            };
            sleep(wait).await;
        }
    }

    /// Waits for everything that must be there before an attempt.
    async fn permit(&self, order: Order) -> Result<Permit<'_>, Refused> {
        self.traffic.breaker.check()?;
        let begins_by = order.deadline - self.traffic.latencies.typical();
        self.limiter.admit(order.priority, begins_by).await?;
        self.tokens.usable(order.deadline).await?;
        Ok(self.traffic.breaker.permit()?)
    }

    fn has_time(&self, deadline: Instant) -> bool {
        Instant::now() + self.traffic.latencies.typical() < deadline
    }
}

/// Why no attempt may be made.
enum Refused {
    Down(Down),
    Other(KmsError),
}

impl From<Down> for Refused {
    fn from(down: Down) -> Self {
        Self::Down(down)
    }
}

impl From<KmsError> for Refused {
    fn from(error: KmsError) -> Self {
        Self::Other(error)
    }
}

impl From<Down> for KmsError {
    fn from(Down { error, lasted }: Down) -> Self {
        let code = if error.failure == Failure::TimedOut { Code::Unavailable } else { error.failure.code() };
        // the request id is that of another call
        let explained = Self { code, request_id: None, ..Self::from(error) };
        let lasted = lasted.as_secs_f64();
        explained.with_detail(&format!("for {lasted:.1} s now: calls fail at once until it answers"))
    }
}

/// What kube-apiserver stores must be readable: made with the key it is labelled with, and whole.
fn check(encrypted: Encrypted, key: &KeyVersion) -> Result<Encrypted, VaultError> {
    if KeyId::of_url(&encrypted.kid) != key.id {
        return Err(VaultError::of_answer(Failure::WrongKey, &encrypted.receipt.request_id));
    }
    match key.fits(encrypted.value.len()) {
        true => Ok(encrypted),
        false => Err(VaultError::of_answer(Failure::Malformed, &encrypted.receipt.request_id)),
    }
}

#[cfg(test)]
mod tests;
