//! The call engine: deadline, rate limit, token and retries around one call to the vault.
//!
//! Used by the `KeyVaultActor`, one engine per generation of the actor.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBackoff;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Encrypted, Failure, Limiter, TokenReader, Vault, VaultError};
use crate::backoff;
use crate::kms::{Algorithm, Form, KeyId, KeyVersion, KmsError, Plaintext, Sealed};
use crate::telemetry::{KeyOperation, Metrics};

/// The shortest wait before a retry; doubles each time, with jitter on top.
const FIRST_DELAY: Duration = Duration::from_millis(50);
/// The longest wait between two retries that Key Vault did not ask for.
const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// Seal this under that key version, before the deadline.
#[derive(Clone, Debug)]
pub(crate) struct Seal {
    /// The key version to use.
    pub key: Arc<KeyVersion>,
    /// The padding.
    pub algorithm: Algorithm,
    /// What to seal.
    pub plaintext: Plaintext,
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
    /// When the caller stops waiting.
    pub deadline: Instant,
}

/// Makes calls to one vault.
pub(crate) struct Engine {
    vault: Arc<dyn Vault>,
    tokens: TokenReader,
    limiter: Limiter,
    metrics: Arc<Metrics>,
}

impl Engine {
    /// An engine on that vault.
    pub(crate) fn new(
        vault: Arc<dyn Vault>,
        tokens: TokenReader,
        limiter: Limiter,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { vault, tokens, limiter, metrics }
    }

    /// Seals, and checks that Key Vault used the key version it was asked to use and gave a whole ciphertext.
    pub(crate) async fn seal(&self, job: &Seal) -> Result<Sealed, KmsError> {
        let attempt = || async {
            let encrypted = self.vault.encrypt(&job.key, job.algorithm, &job.plaintext).await?;
            check(encrypted, &job.key)
        };
        let encrypted = self.call(KeyOperation::Encrypt, job.deadline, attempt).await?;
        job.key.learn_modulus(encrypted.value.len());
        Ok(Sealed { ciphertext: Form::write(&encrypted.value), receipt: encrypted.receipt })
    }

    /// Opens.
    pub(crate) async fn open(&self, job: &Open) -> Result<Plaintext, KmsError> {
        let attempt = || self.vault.decrypt(&job.key, job.algorithm, &job.ciphertext);
        let decrypted = self.call(KeyOperation::Decrypt, job.deadline, attempt).await?;
        job.form.open(decrypted)
    }

    /// Reads the key once, which also teaches the SDK the vault's authentication challenge while no request waits.
    ///
    /// # Errors
    /// A 403 is not one: an identity that may encrypt and decrypt need not be allowed to read the key.
    pub(crate) async fn warm_up(&self, key: &KeyVersion, deadline: Instant) -> Result<(), KmsError> {
        let attempt = || async {
            match self.vault.modulus(key).await {
                Err(VaultError { failure: Failure::Forbidden, .. }) => Ok(None),
                other => other.map(Some),
            }
        };
        if let Some(modulus) = self.call(KeyOperation::GetKey, deadline, attempt).await? {
            key.learn_modulus(modulus);
        }
        Ok(())
    }

    async fn call<T, F>(
        &self,
        operation: KeyOperation,
        deadline: Instant,
        attempt: impl Fn() -> F,
    ) -> Result<T, KmsError>
    where
        F: Future<Output = Result<T, VaultError>>,
    {
        let mut retries = Retries::new(deadline);
        loop {
            self.limiter.admit(deadline).await.map_err(|error| retries.explain(error))?;
            let token = self.tokens.usable(deadline).await.map_err(|error| retries.explain(error))?;
            let error = match self.observed(operation, deadline, attempt()).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let cause = error.cause.as_deref().unwrap_or_default();
            tracing::debug!(operation = operation.as_str(), err = %error, cause, "Call to Key Vault failed");
            if error.failure == Failure::Unauthorized {
                self.tokens.reject(&token);
            }
            sleep(retries.wait_after(error)?).await;
        }
    }

    async fn observed<T>(
        &self,
        operation: KeyOperation,
        deadline: Instant,
        call: impl Future<Output = Result<T, VaultError>>,
    ) -> Result<T, VaultError> {
        let start = Instant::now();
        let timed_out = |_| Err(VaultError::without_answer(Failure::TimedOut));
        let outcome = timeout_at(deadline, call).await.unwrap_or_else(timed_out);
        let failure = outcome.as_ref().err().map(|error| error.failure.as_str());
        self.metrics.key_vault_call(operation, failure, start.elapsed());
        outcome
    }
}

/// What a call may still try.
struct Retries {
    deadline: Instant,
    delays: ExponentialBackoff,
    last: Option<VaultError>,
}

impl Retries {
    fn new(deadline: Instant) -> Self {
        let delays = backoff::jittered(FIRST_DELAY, LONGEST_DELAY);
        Self { deadline, delays, last: None }
    }

    /// How long to wait before the next attempt; the error itself when there may be none before the deadline.
    fn wait_after(&mut self, error: VaultError) -> Result<Duration, KmsError> {
        match error.failure {
            Failure::TimedOut => return Err(self.explain(error.into())),
            // the token was dropped meanwhile: the next attempt begins by waiting for another
            Failure::NoToken => return Ok(Duration::ZERO),
            // so does this, with the rejected one; who issues one bad token after the other is stopped by the TokenActor
            Failure::Unauthorized => {
                self.last = Some(error);
                return Ok(Duration::ZERO);
            }
            _ => {}
        }
        let delay = self.delays.next().unwrap_or(LONGEST_DELAY).max(error.retry_after.unwrap_or_default());
        if !error.failure.is_transient() || Instant::now() + delay >= self.deadline {
            return Err(error.into());
        }
        self.last = Some(error);
        Ok(delay)
    }

    /// What to tell the caller when a later attempt could not even be made: the failure of the earlier one.
    fn explain(&mut self, otherwise: KmsError) -> KmsError {
        self.last.take().map_or(otherwise, KmsError::from)
    }
}

/// What kube-apiserver stores must be readable: made with the key it is labelled with, and whole.
fn check(encrypted: Encrypted, key: &KeyVersion) -> Result<Encrypted, VaultError> {
    if KeyId::of_url(&encrypted.kid) != key.id {
        return Err(VaultError::without_answer(Failure::WrongKey));
    }
    match key.fits(encrypted.value.len()) {
        true => Ok(encrypted),
        false => Err(VaultError::without_answer(Failure::Malformed)),
    }
}

#[cfg(test)]
mod tests;
