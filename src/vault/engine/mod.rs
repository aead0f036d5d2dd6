//! The call engine: deadline, limits, token, circuit breaker, hedging, retries and coalescing around a call to the vault.
//!
//! Each generation of the `KeyVaultActor` has its own engine. The state that outlives it is [`SharedState`].

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
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument;

use attempt::{AttemptSpec, Attempts, NotReady};
use coalesce::Coalescer;
pub(crate) use hedging::Connect;
pub(crate) use priority_queue::{Priority, PriorityQueue, QueuePermit};
pub(crate) use rate_limit::RateLimitView;
use retry::{GaveUp, RetryState};
pub(crate) use shared::SharedState;

use super::{DecryptJob, EncryptJob, EncryptResult, Failure, TokenReader, Vault, VaultError};
use crate::kms::{Algorithm, Decrypted, Encrypted, KeyId, KeyVersion, KmsError};
use crate::telemetry::{KeyOperation, Metrics};

/// The key by which identical decrypts are coalesced.
type DecryptKey = (KeyId, Algorithm, Arc<Vec<u8>>);

/// The engine of one vault. Clones share all state.
#[derive(Clone)]
pub(crate) struct Engine(Arc<Inner>);

struct Inner {
    attempts: Attempts,
    decrypts: Coalescer<DecryptKey, Result<Decrypted, GaveUp>>,
}

impl Engine {
    /// Creates an engine for the vault that `connect` creates clients of.
    ///
    /// # Errors
    /// The client cannot be created; says why.
    pub(crate) fn new(
        connect: Arc<Connect>,
        tokens: TokenReader,
        shared: Arc<SharedState>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, String> {
        let attempts = Attempts::new(connect, tokens, shared, metrics)?;
        Ok(Self(Arc::new(Inner { attempts, decrypts: Coalescer::new() })))
    }

    /// Encrypts, and checks that Key Vault used the requested key version and returned a whole ciphertext.
    ///
    /// # Errors
    /// No attempt succeeded before the deadline: returns the last failure that Key Vault answered with, the number of
    /// attempts and their duration, or the reason why no attempt could be made.
    pub(crate) async fn encrypt(&self, job: &EncryptJob) -> Result<Encrypted, KmsError> {
        let call = |vault: Arc<dyn Vault>| async move {
            let result = vault.encrypt(&job.key, job.algorithm, &job.plaintext).await?;
            checked(result, &job.key)
        };
        let result = self.0.call(KeyOperation::Encrypt, job.priority, job.deadline, call).await?;
        let EncryptResult { value: ciphertext, receipt, .. } = result;
        job.key.set_modulus_len(ciphertext.len());
        Ok(Encrypted { ciphertext, receipt })
    }

    /// Decrypts. Identical jobs at the same time share one call with its retries.
    ///
    /// # Errors
    /// As [`Self::encrypt`].
    pub(crate) async fn decrypt(&self, job: &DecryptJob) -> Result<Decrypted, KmsError> {
        let key = (job.key.id.clone(), job.algorithm, job.ciphertext.clone());
        let start = |deadline| {
            let (inner, job) = (self.0.clone(), DecryptJob { deadline, ..job.clone() });
            async move { inner.decrypt(&job).await }.in_current_span() // also for callers that join later
        };
        let reason = Mutex::new(None);
        let out_of_time = |outcome: &Result<Decrypted, GaveUp>| match outcome {
            Err(gave_up) if gave_up.is_out_of_time && self.0.has_time(job.deadline) => {
                *reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(gave_up.error.clone());
                true
            }
            _ => false,
        };
        let shared = self.0.decrypts.run(key, job.deadline, start, out_of_time);
        match timeout_at(job.deadline, shared).await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => {
                let reason = reason.into_inner().unwrap_or_else(PoisonError::into_inner);
                Err(reason.unwrap_or_else(|| KmsError::deadline("the same Decrypt of another caller")))
            }
        }
    }

    /// Reads the key once: connects, and lets the SDK learn the vault's authentication challenge before the first request.
    ///
    /// # Errors
    /// As [`Self::encrypt`], except for a 403: an identity that may encrypt and decrypt need not be allowed to read the
    /// key.
    pub(crate) async fn warm_up(&self, key: &KeyVersion, deadline: Instant) -> Result<(), KmsError> {
        let call = |vault: Arc<dyn Vault>| async move {
            match vault.modulus_len(key).await {
                Err(VaultError { failure: Failure::Forbidden, .. }) => Ok(None),
                other => other.map(Some),
            }
        };
        if let Some(bytes) = self.0.call(KeyOperation::GetKey, Priority::Probe, deadline, call).await? {
            key.set_modulus_len(bytes);
        }
        Ok(())
    }
}

impl Inner {
    /// Decrypts with a call of its own.
    ///
    /// # Errors
    /// As [`Engine::encrypt`].
    async fn decrypt(&self, job: &DecryptJob) -> Result<Decrypted, GaveUp> {
        let call = |vault: Arc<dyn Vault>| async move {
            vault.decrypt(&job.key, job.algorithm, &job.ciphertext).await
        };
        self.call(KeyOperation::Decrypt, job.priority, job.deadline, call).await
    }

    /// Makes attempts until one succeeds.
    ///
    /// # Errors
    /// The failure is permanent, or another attempt could not end before the deadline.
    async fn call<T, F>(
        &self,
        operation: KeyOperation,
        priority: Priority,
        deadline: Instant,
        call: impl Fn(Arc<dyn Vault>) -> F,
    ) -> Result<T, GaveUp>
    where
        F: Future<Output = Result<T, VaultError>>,
    {
        let mut retry = RetryState::new(deadline);
        loop {
            let spec = AttemptSpec { operation, priority, deadline, number: retry.attempts() + 1 };
            let delay = match self.attempts.ready(spec).await {
                Ok(permit) => match self.attempts.run(spec, permit, &call).await {
                    Ok(value) => return Ok(value),
                    Err(error) => retry.delay_after(error, self.attempts.expected_duration())?,
                },
                Err(NotReady::Outage(outage)) => retry.delay_during_outage(outage)?,
                Err(NotReady::Refused(error)) => return Err(retry.refused(error)),
            };
            sleep(delay).await;
        }
    }

    fn has_time(&self, deadline: Instant) -> bool {
        Instant::now() + self.attempts.expected_duration() < deadline
    }
}

/// Returns the result if kube-apiserver could decrypt it later.
///
/// # Errors
/// Another key version encrypted, or the ciphertext does not have the size of the key's modulus.
fn checked(result: EncryptResult, key: &KeyVersion) -> Result<EncryptResult, VaultError> {
    if KeyId::of_url(&result.kid) != key.id {
        return Err(VaultError::of_answer(Failure::WrongKey, &result.receipt.request_id));
    }
    if key.is_ciphertext_len(result.value.len()) {
        Ok(result)
    } else {
        Err(VaultError::of_answer(Failure::Malformed, &result.receipt.request_id))
    }
}

#[cfg(test)]
mod tests;
