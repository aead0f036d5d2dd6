//! One attempt on the vault: on the lane in use, and on fresh connections too when that one is slow.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument;

use super::{Order, Parts};
use crate::telemetry::KeyVaultCall;
use crate::vault::breaker::{Permit, SILENCE};
use crate::vault::lanes::{Lane, Lanes};
use crate::vault::{Failure, Priority, Vault, VaultError};

impl Parts {
    /// One attempt, with what the breaker learns from it.
    pub(super) async fn attempt<T, F>(
        &self,
        order: Order,
        permit: Permit<'_>,
        attempt: &impl Fn(Arc<dyn Vault>) -> F,
    ) -> Result<T, VaultError>
    where
        F: Future<Output = Result<T, VaultError>>,
    {
        let outcome = self.hedged(order, attempt).await;
        match &outcome {
            Ok(_) => permit.answered(),
            Err(error) => {
                permit.failed(error);
                log_failure(order, error);
            }
        }
        self.metrics.breaker_open(self.traffic.breaker.is_open());
        outcome
    }

    /// One attempt, and a second one on fresh connections when the first is slower than nearly all of late.
    async fn hedged<T, F>(
        &self,
        order: Order,
        attempt: &impl Fn(Arc<dyn Vault>) -> F,
    ) -> Result<T, VaultError>
    where
        F: Future<Output = Result<T, VaultError>>,
    {
        let slow = self.lanes.current().await;
        let mut first = pin!(self.observed(order, &slow, false, attempt));
        let fast = tokio::select! {
            biased;
            outcome = &mut first => return outcome,
            fast = self.second_lane(&slow) => fast,
        };
        let sent = Instant::now();
        let mut second = pin!(self.observed(order, &fast, true, attempt));
        tokio::select! {
            biased;
            outcome = &mut first => match outcome {
                Err(error) => second.await.map_err(|other| more_telling(error, other)),
                answered => answered,
            },
            outcome = &mut second => {
                if outcome.as_ref().map_or_else(|error| error.status.is_some(), |_| true) {
                    self.lanes.answered_first(&fast, &slow, sent);
                }
                match outcome {
                    Err(error) if slow.is_retired() => Err(error),
                    Err(error) => first.await.map_err(|other| more_telling(error, other)),
                    answered => answered.inspect(|_| self.metrics.hedge_won()),
                }
            }
        }
    }

    /// Waits until a second attempt is due, and tells where to make it.
    async fn second_lane(&self, slow: &Arc<Lane>) -> Arc<Lane> {
        self.traffic.hedges.earn();
        tokio::select! {
            () = slow.retired() => return self.lanes.current().await,
            () = sleep(self.traffic.latencies.tail()) => {}
        }
        if self.traffic.hedges.spend() {
            while let Err(wait) = self.limiter.pass() {
                sleep(wait).await;
            }
            if let Some(fast) = self.lanes.other_than(slow).await {
                self.metrics.hedged();
                return fast;
            }
        }
        slow.retired().await;
        self.lanes.current().await
    }

    /// An attempt on that lane: ends at the deadline, and is learned from and counted however it ends.
    async fn observed<T, F>(
        &self,
        order: Order,
        lane: &Lane,
        hedge: bool,
        attempt: &impl Fn(Arc<dyn Vault>) -> F,
    ) -> Result<T, VaultError>
    where
        F: Future<Output = Result<T, VaultError>>,
    {
        let (sent, token) = (Instant::now(), self.tokens.latest());
        let Order { operation, priority, attempt: number, .. } = order;
        let probes = priority == Priority::Probe;
        let counted = self.metrics.key_vault_call(KeyVaultCall { operation, probes, attempt: number, hedge });
        let timed_out = |_| Err(VaultError::without_answer(Failure::TimedOut));
        let call = timeout_at(order.deadline, lane.call(attempt)).instrument(counted.span());
        let outcome = call.await.unwrap_or_else(timed_out);
        let took = counted.ended(outcome.as_ref().err().map(|error| error.failure.as_str()));
        match outcome.as_ref().map_err(|error| (error.failure, error.retry_after)) {
            Ok(_) => {
                self.traffic.succeeded(sent, took);
                token.iter().for_each(|token| self.tokens.accept(token));
            }
            Err((Failure::Throttled, retry_after)) => self.traffic.tap.throttled(sent, retry_after),
            Err((Failure::Unauthorized, _)) => token.iter().for_each(|token| self.tokens.reject(token)),
            Err((Failure::TimedOut, _)) if took >= SILENCE => Lanes::no_answer(lane, sent),
            Err(_) => {}
        }
        outcome
    }
}

/// Of the failures of two attempts the one that Key Vault answered.
fn more_telling(first: VaultError, second: VaultError) -> VaultError {
    if second.failure == Failure::TimedOut { first } else { second }
}

fn log_failure(order: Order, error: &VaultError) {
    let cause = error.cause.as_deref().unwrap_or_default();
    tracing::debug!(operation = order.operation.as_str(), err = %error, cause, "Call to Key Vault failed");
}
