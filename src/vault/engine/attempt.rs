//! One attempt on the vault: on the connection in use, and on fresh connections too when that one is primary.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument;

use super::circuit_breaker::{Permit, SILENCE};
use super::hedging::{Connection, Hedging};
use super::{CallSpec, Parts};
use crate::telemetry::KeyVaultCall;
use crate::vault::{Failure, Priority, Vault, VaultError};

impl Parts {
    /// One attempt, with what the breaker learns from it.
    pub(super) async fn attempt<T, F>(
        &self,
        spec: CallSpec,
        permit: Permit<'_>,
        attempt: &impl Fn(Arc<dyn Vault>) -> F,
    ) -> Result<T, VaultError>
    where
        F: Future<Output = Result<T, VaultError>>,
    {
        let outcome = self.hedged(spec, attempt).await;
        match &outcome {
            Ok(_) => permit.answered(),
            Err(error) => {
                permit.failed(error);
                log_failure(spec, error);
            }
        }
        self.metrics.breaker_open(self.shared.breaker.is_open());
        outcome
    }

    /// One attempt, and a second one on fresh connections when the first is slower than nearly all of late.
    async fn hedged<T, F>(
        &self,
        spec: CallSpec,
        attempt: &impl Fn(Arc<dyn Vault>) -> F,
    ) -> Result<T, VaultError>
    where
        F: Future<Output = Result<T, VaultError>>,
    {
        let primary = self.hedging.current().await;
        let mut first = pin!(self.observed(spec, &primary, false, attempt));
        let hedge_connection = tokio::select! {
            biased;
            outcome = &mut first => return outcome,
            hedge_connection = self.hedge_connection_due(&primary) => hedge_connection,
        };
        let sent = Instant::now();
        let mut second = pin!(self.observed(spec, &hedge_connection, true, attempt));
        tokio::select! {
            biased;
            outcome = &mut first => match outcome {
                Err(error) => second.await.map_err(|other| more_informative(error, other)),
                answered => answered,
            },
            outcome = &mut second => {
                if outcome.as_ref().map_or_else(|error| error.status.is_some(), |_| true) {
                    self.hedging.answered_first(&hedge_connection, &primary, sent);
                }
                match outcome {
                    Err(error) if primary.is_retired() => Err(error),
                    Err(error) => first.await.map_err(|other| more_informative(error, other)),
                    answered => answered.inspect(|_| self.metrics.hedge_won()),
                }
            }
        }
    }

    /// Waits until a second attempt is due, and tells where to make it.
    async fn hedge_connection_due(&self, primary: &Arc<Connection>) -> Arc<Connection> {
        self.shared.hedges.earn();
        tokio::select! {
            () = primary.retired() => return self.hedging.current().await,
            () = sleep(self.shared.latencies.tail()) => {}
        }
        if self.shared.hedges.spend() {
            while let Err(wait) = self.limiter.pass() {
                sleep(wait).await;
            }
            if let Some(hedge_connection) = self.hedging.other_than(primary).await {
                self.metrics.hedged();
                return hedge_connection;
            }
        }
        primary.retired().await;
        self.hedging.current().await
    }

    /// An attempt on that connection: ends at the deadline, and is learned from and counted however it ends.
    async fn observed<T, F>(
        &self,
        spec: CallSpec,
        connection: &Connection,
        is_hedge: bool,
        attempt: &impl Fn(Arc<dyn Vault>) -> F,
    ) -> Result<T, VaultError>
    where
        F: Future<Output = Result<T, VaultError>>,
    {
        let (sent, token) = (Instant::now(), self.tokens.latest());
        let CallSpec { operation, priority, attempt: number, .. } = spec;
        let is_probe = priority == Priority::Probe;
        let counted =
            self.metrics.key_vault_call(KeyVaultCall { operation, is_probe, attempt: number, is_hedge });
        let timed_out = |_| Err(VaultError::without_answer(Failure::TimedOut));
        let call = timeout_at(spec.deadline, connection.call(attempt)).instrument(counted.span());
        let outcome = call.await.unwrap_or_else(timed_out);
        let took = counted.ended(outcome.as_ref().err().map(|error| error.failure.as_str()));
        match outcome.as_ref().map_err(|error| (error.failure, error.retry_after)) {
            Ok(_) => {
                self.shared.succeeded(sent, took);
                token.iter().for_each(|token| self.tokens.accept(token));
            }
            Err((Failure::Throttled, retry_after)) => self.shared.throttle.throttled(sent, retry_after),
            Err((Failure::Unauthorized, _)) => token.iter().for_each(|token| self.tokens.reject(token)),
            Err((Failure::TimedOut, _)) if took >= SILENCE => Hedging::no_answer(connection, sent),
            Err(_) => {}
        }
        outcome
    }
}

/// Of the failures of two attempts the one that Key Vault answered.
fn more_informative(first: VaultError, second: VaultError) -> VaultError {
    if second.failure == Failure::TimedOut { first } else { second }
}

fn log_failure(spec: CallSpec, error: &VaultError) {
    let cause = error.cause.as_deref().unwrap_or_default();
    tracing::debug!(operation = spec.operation.as_str(), err = %error, cause, "Call to Key Vault failed");
}
