//! The call engine: deadline, limits, token, breaker, second attempts and retries around one call to the vault.
//!
//! Used by the `KeyVaultActor`, one engine per generation of the actor. What it must not forget is in [`SharedState`].

mod attempt;
mod circuit_breaker;
mod coalesce;
mod hedging;
mod latency;
mod limiter;
mod priority_queue;
mod rate_limit;
mod retry;
mod shared;
mod throttle;

use std::future::Future;
use std::sync::Arc;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument;

use circuit_breaker::{Down, Permit};
use coalesce::Coalesced;
pub(crate) use hedging::Connect;
use hedging::Hedging;
use limiter::Limiter;
pub(crate) use priority_queue::{Priority, PriorityQueue, QueuePermit};
pub(crate) use rate_limit::RateLimitView;
use retry::RetryBudget;
pub(crate) use shared::SharedState;

use super::{EncryptResult, Failure, TokenReader, Vault, VaultError};
use crate::kms::{Algorithm, Code, Decrypted, Encrypted, KeyId, KeyVersion, KmsError, Plaintext};
use crate::telemetry::{KeyOperation, Metrics};

/// A plaintext to encrypt under that key version before the deadline.
#[derive(Clone, Debug)]
pub(crate) struct EncryptJob {
    /// The key version to use.
    pub key: Arc<KeyVersion>,
    /// The padding.
    pub algorithm: Algorithm,
    /// The plaintext.
    pub plaintext: Plaintext,
    /// How urgent it is.
    pub priority: Priority,
    /// When the caller stops waiting.
    pub deadline: Instant,
}

/// A ciphertext to decrypt with that key version before the deadline.
#[derive(Clone, Debug)]
pub(crate) struct DecryptJob {
    /// The key version to use.
    pub key: Arc<KeyVersion>,
    /// The padding.
    pub algorithm: Algorithm,
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
struct CallSpec {
    operation: KeyOperation,
    priority: Priority,
    deadline: Instant,
    /// The first attempt is 1.
    attempt: u32,
}

impl CallSpec {
    fn new(operation: KeyOperation, priority: Priority, deadline: Instant) -> Self {
        Self { operation, priority, deadline, attempt: 1 }
    }
}

/// Makes calls to one vault. Clones share everything.
#[derive(Clone)]
pub(crate) struct Engine(Arc<Parts>);

struct Parts {
    hedging: Hedging,
    tokens: TokenReader,
    limiter: Limiter,
    shared: Arc<SharedState>,
    decrypts: Coalesced<SameDecrypt, Result<Decrypted, KmsError>>,
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
        shared: Arc<SharedState>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, String> {
        let (hedging, limiter) = (Hedging::new(connect)?, Limiter::new(shared.clone()));
        let decrypts = Coalesced::new();
        Ok(Self(Arc::new(Parts { hedging, tokens, limiter, shared, decrypts, metrics })))
    }

    /// Encrypts, and checks that Key Vault used the key version it was asked to use and gave a whole ciphertext.
    ///
    /// # Errors
    /// The failure of the last attempt that Key Vault answered, with the number of attempts and their time; or why none
    /// could be made before the deadline.
    pub(crate) async fn encrypt(&self, job: &EncryptJob) -> Result<Encrypted, KmsError> {
        let attempt = |vault: Arc<dyn Vault>| async move {
            let result = vault.encrypt(&job.key, job.algorithm, &job.plaintext).await?;
            check(result, &job.key)
        };
        let spec = CallSpec::new(KeyOperation::Encrypt, job.priority, job.deadline);
        let EncryptResult { value: ciphertext, receipt, .. } = self.0.call(spec, attempt).await?;
        job.key.learn_modulus(ciphertext.len());
        Ok(Encrypted { ciphertext, receipt })
    }

    /// Decrypts. Identical jobs that run at the same time cost one call.
    ///
    /// # Errors
    /// As [`Self::encrypt`].
    pub(crate) async fn decrypt(&self, job: &DecryptJob) -> Result<Decrypted, KmsError> {
        let same = (job.key.id.clone(), job.algorithm, job.ciphertext.clone());
        let start = || {
            let (parts, job) = (self.0.clone(), job.clone());
            async move { parts.decrypt(&job).await }.in_current_span() // whoever waits for it later
        };
        let shared = self.0.decrypts.run(same, job.deadline, start);
        let in_time = timeout_at(job.deadline, shared).await;
        match in_time.unwrap_or_else(|_| Err(KmsError::deadline("the same Decrypt of another caller"))) {
            // the one that was shared had less time
            Err(error) if error.code.meaning().is_retryable && self.0.has_time(job.deadline) => {
                self.0.decrypt(job).await
            }
            outcome => outcome,
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
        let spec = CallSpec::new(KeyOperation::GetKey, Priority::Probe, deadline);
        if let Some(modulus) = self.0.call(spec, attempt).await? {
            key.learn_modulus(modulus);
        }
        Ok(())
    }
}

impl Parts {
    async fn decrypt(&self, job: &DecryptJob) -> Result<Decrypted, KmsError> {
        let attempt = |vault: Arc<dyn Vault>| async move {
            vault.decrypt(&job.key, job.algorithm, &job.ciphertext).await
        };
        let spec = CallSpec::new(KeyOperation::Decrypt, job.priority, job.deadline);
        self.call(spec, attempt).await
    }

    /// Tries until it succeeds, or until another attempt is of no use or could not end in time.
    async fn call<T, F>(&self, spec: CallSpec, attempt: impl Fn(Arc<dyn Vault>) -> F) -> Result<T, KmsError>
    where
        F: Future<Output = Result<T, VaultError>>,
    {
        let mut retries = RetryBudget::new(spec.deadline);
        loop {
            let spec = CallSpec { attempt: retries.attempts() + 1, ..spec };
            let wait = match self.permit(spec).await {
                Ok(permit) => match self.attempt(spec, permit, &attempt).await {
                    Ok(value) => return Ok(value),
                    Err(error) => retries.wait_after(error, self.shared.latencies.typical())?,
                },
                Err(NotAdmitted::Down(down)) => retries.wait_for_return(down)?,
                Err(NotAdmitted::Other(error)) => return Err(retries.explain(error)),
            };
            sleep(wait).await;
        }
    }

    /// Waits for everything that must be there before an attempt.
    async fn permit(&self, spec: CallSpec) -> Result<Permit<'_>, NotAdmitted> {
        self.shared.breaker.check()?;
        let begins_by = spec.deadline - self.shared.latencies.typical();
        self.limiter.admit(spec.priority, begins_by).await?;
        self.tokens.usable(spec.deadline).await?;
        Ok(self.shared.breaker.permit()?)
    }

    fn has_time(&self, deadline: Instant) -> bool {
        Instant::now() + self.shared.latencies.typical() < deadline
    }
}

/// Why no attempt may be made.
enum NotAdmitted {
    Down(Down),
    Other(KmsError),
}

impl From<Down> for NotAdmitted {
    fn from(down: Down) -> Self {
        Self::Down(down)
    }
}

impl From<KmsError> for NotAdmitted {
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
fn check(result: EncryptResult, key: &KeyVersion) -> Result<EncryptResult, VaultError> {
    if KeyId::of_url(&result.kid) != key.id {
        return Err(VaultError::of_answer(Failure::WrongKey, &result.receipt.request_id));
    }
    if key.fits(result.value.len()) {
        Ok(result)
    } else {
        Err(VaultError::of_answer(Failure::Malformed, &result.receipt.request_id))
    }
}

#[cfg(test)]
mod tests;
