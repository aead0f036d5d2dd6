//! One attempt at a call: on the primary connection, and on a hedge connection too when the primary is slow.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument;

use super::circuit_breaker::{Outage, Permit, SHORTEST_COUNTED_TIMEOUT};
use super::hedging::{Connect, Connection, Hedging};
use super::limiter::Limiter;
use super::priority_queue::Priority;
use super::shared::SharedState;
use crate::kms::KmsError;
use crate::telemetry::{KeyOperation, KeyVaultCall, Metrics};
use crate::vault::{Failure, TokenReader, Vault, VaultError};

/// The parameters of an attempt.
#[derive(Clone, Copy)]
pub(super) struct AttemptSpec {
    pub(super) operation: KeyOperation,
    pub(super) priority: Priority,
    pub(super) deadline: Instant,
    /// The number of the attempt, from 1.
    pub(super) number: u32,
}

/// The parts of the engine that make attempts.
pub(super) struct Attempts {
    hedging: Hedging,
    tokens: TokenReader,
    limiter: Limiter,
    shared: Arc<SharedState>,
    metrics: Arc<Metrics>,
}

/// The reason why no attempt may be made.
pub(super) enum NotReady {
    /// The circuit breaker is open.
    Outage(Outage),
    /// A limit, or the lack of a token, allows no attempt before the deadline.
    Refused(KmsError),
}

impl Attempts {
    /// Connects to the vault.
    ///
    /// # Errors
    /// The client cannot be created; says why.
    pub(super) fn new(
        connect: Arc<Connect>,
        tokens: TokenReader,
        shared: Arc<SharedState>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, String> {
        let (hedging, limiter) = (Hedging::new(connect)?, Limiter::new(shared.clone()));
        Ok(Self { hedging, tokens, limiter, shared, metrics })
    }

    /// Returns the time that an attempt is expected to take.
    pub(super) fn expected_duration(&self) -> Duration {
        self.shared.latencies.expected()
    }

    /// Waits until there is a token and the limits allow an attempt. Takes nothing from the limits unless the circuit
    /// breaker permits the attempt.
    ///
    /// # Errors
    /// The circuit breaker is open, or a limit or the lack of a token allows no attempt before the deadline.
    pub(super) async fn ready(&self, spec: AttemptSpec) -> Result<Permit<'_>, NotReady> {
        let admit = || self.tokens.latest().and_then(|_| self.shared.breaker.permit().ok());
        loop {
            self.shared.breaker.check().map_err(NotReady::Outage)?;
            self.tokens.usable(spec.deadline).await.map_err(NotReady::Refused)?;
            let acquired = self.limiter.acquire_if(spec.priority, self.begins_by(spec), admit).await;
            if let Some(permit) = acquired.map_err(NotReady::Refused)? {
                return Ok(permit);
            }
        }
    }

    /// Returns the latest time at which an attempt can begin and be expected to end before the deadline.
    fn begins_by(&self, spec: AttemptSpec) -> Instant {
        spec.deadline - self.expected_duration()
    }

    /// Makes an attempt, and records its outcome in the circuit breaker.
    ///
    /// # Errors
    /// As the call; `TimedOut` at the deadline.
    pub(super) async fn run<T, F>(
        &self,
        spec: AttemptSpec,
        permit: Permit<'_>,
        call: &impl Fn(Arc<dyn Vault>) -> F,
    ) -> Result<T, VaultError>
    where
        F: Future<Output = Result<T, VaultError>>,
    {
        let outcome = self.hedged(spec, call).await;
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

    /// Makes the call on the primary connection, and a hedge when that takes longer than the hedge delay. The first
    /// success counts.
    ///
    /// # Errors
    /// The call fails, on both connections if there was a hedge: returns a failure that Key Vault answered with, if there
    /// is one.
    async fn hedged<T, F>(
        &self,
        spec: AttemptSpec,
        call: &impl Fn(Arc<dyn Vault>) -> F,
    ) -> Result<T, VaultError>
    where
        F: Future<Output = Result<T, VaultError>>,
    {
        let primary = self.hedging.primary().await;
        let mut first = pin!(self.call_on(&primary, spec, false, call));
        let hedge = tokio::select! {
            biased;
            outcome = &mut first => return outcome,
            hedge = self.hedge_when_due(spec, &primary) => hedge,
        };
        let sent = Instant::now();
        let mut second = pin!(self.call_on(&hedge, spec, true, call));
        tokio::select! {
            biased;
            outcome = &mut first => match outcome {
                Err(error) => second.await.map_err(|other| more_informative(error, other)),
                answered => answered,
            },
            outcome = &mut second => {
                if outcome.as_ref().map_or_else(|error| error.status.is_some(), |_| true) {
                    self.hedging.hedge_answered(&hedge, &primary, sent);
                }
                match outcome {
                    Err(error) if primary.is_hung() => Err(error),
                    Err(error) => first.await.map_err(|other| more_informative(error, other)),
                    answered => answered.inspect(|_| self.metrics.hedge_won()),
                }
            }
        }
    }

    /// Waits until a hedge is due and the limits allow it, and returns the connection to make it on. It is due after the
    /// hedge delay within the budget, or at any time when the primary connection is known to hang. Waits for ever when there
    /// can be no hedge.
    async fn hedge_when_due(&self, spec: AttemptSpec, primary: &Arc<Connection>) -> Arc<Connection> {
        self.shared.hedge_budget.deposit();
        let is_slow = tokio::select! {
            () = primary.until_hung() => false,
            () = sleep(self.shared.latencies.hedge_delay()) => self.shared.hedge_budget.withdraw(),
        };
        if is_slow && let Some(hedge) = self.hedge(spec, primary).await {
            return hedge;
        }
        primary.until_hung().await;
        match self.hedge(spec, primary).await {
            Some(hedge) => hedge,
            None => pending().await, // the first attempt ends by the deadline
        }
    }

    /// Waits until the limits allow a hedge, and returns the connection to make it on. `None` when they do not before the
    /// deadline, or when no client can be created.
    async fn hedge(&self, spec: AttemptSpec, primary: &Arc<Connection>) -> Option<Arc<Connection>> {
        self.limiter.acquire(spec.priority, self.begins_by(spec)).await.ok()?;
        self.hedging.hedge_for(primary).await
    }

    /// Makes the call on that connection, and records its outcome in the metrics and the shared state.
    ///
    /// # Errors
    /// As the call; `TimedOut` at the deadline.
    async fn call_on<T, F>(
        &self,
        connection: &Connection,
        spec: AttemptSpec,
        is_hedge: bool,
        call: &impl Fn(Arc<dyn Vault>) -> F,
    ) -> Result<T, VaultError>
    where
        F: Future<Output = Result<T, VaultError>>,
    {
        let (sent, token) = (Instant::now(), self.tokens.latest());
        let AttemptSpec { operation, priority, number: attempt, .. } = spec;
        let is_probe = priority == Priority::Probe;
        if is_hedge {
            self.metrics.hedged();
        }
        let counted = self.metrics.key_vault_call(KeyVaultCall { operation, is_probe, attempt, is_hedge });
        let timed_out = |_| Err(VaultError::without_answer(Failure::TimedOut));
        let in_time = timeout_at(spec.deadline, connection.call(call)).instrument(counted.span());
        let outcome = in_time.await.unwrap_or_else(timed_out);
        let latency = counted.ended(outcome.as_ref().err().map(|error| error.failure.as_str()));
        match outcome.as_ref().map_err(|error| (error.failure, error.retry_after)) {
            Ok(_) => {
                self.shared.succeeded(sent, latency);
                token.iter().for_each(|token| self.tokens.accept(token));
            }
            Err((Failure::Throttled, retry_after)) => self.shared.throttle.throttled(sent, retry_after),
            Err((Failure::Unauthorized, _)) => token.iter().for_each(|token| self.tokens.reject(token)),
            Err((Failure::TimedOut, _)) if latency >= SHORTEST_COUNTED_TIMEOUT => connection.no_answer(sent),
            Err(_) => {}
        }
        outcome
    }
}

/// Returns the failure of two that says more: a response rather than a timeout.
fn more_informative(first: VaultError, second: VaultError) -> VaultError {
    if second.failure == Failure::TimedOut { first } else { second }
}

fn log_failure(spec: AttemptSpec, error: &VaultError) {
    let cause = error.cause.as_deref().unwrap_or_default();
    tracing::debug!(operation = spec.operation.as_str(), err = %error, cause, "Call to Key Vault failed");
}
