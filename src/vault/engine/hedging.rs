//! The connections for hedging: the primary one, and a fresh one for second attempts (hedges) while the primary is slow.
//!
//! HTTP/2 carries all calls on one connection. When it hangs, a second attempt on it would hang too.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::telemetry::{LogDedup, log_or_debug};
use crate::vault::{Vault, VaultError};

/// Creates a client with a connection of its own, or says why there is none.
pub(crate) type Connect = dyn Fn() -> Result<Arc<dyn Vault>, String> + Send + Sync;

/// The age up to which a hedge connection is used. What made the primary hang may have hit an older one too.
const LONGEST_HEDGE_AGE: Duration = Duration::from_secs(1);

/// A client with its own connection, and the signs that the connection hangs.
pub(crate) struct Connection {
    vault: Arc<dyn Vault>,
    created_at: Instant,
    /// The time at which a call last ended.
    last_ended_at: Mutex<Instant>,
    hung: CancellationToken,
}

impl Connection {
    fn new(vault: Arc<dyn Vault>) -> Arc<Self> {
        let created_at = Instant::now();
        Arc::new(Self {
            vault,
            created_at,
            last_ended_at: Mutex::new(created_at),
            hung: CancellationToken::new(),
        })
    }

    /// Makes a call on this connection, and records the time of its end.
    ///
    /// # Errors
    /// As the call.
    pub(crate) async fn call<T, F>(&self, call: &impl Fn(Arc<dyn Vault>) -> F) -> Result<T, VaultError>
    where
        F: Future<Output = Result<T, VaultError>>,
    {
        let outcome = call(self.vault.clone()).await;
        *lock(&self.last_ended_at) = Instant::now();
        outcome
    }

    /// Waits until the connection is known to hang.
    pub(crate) async fn until_hung(&self) {
        self.hung.cancelled().await;
    }

    /// Returns whether the connection is known to hang.
    pub(crate) fn is_hung(&self) -> bool {
        self.hung.is_cancelled()
    }

    /// Records that a call had no response since `sent`. If no other call ended either, the connection hangs, and the
    /// calls that wait on it are moved.
    pub(crate) fn no_answer(&self, sent: Instant) {
        if self.is_silent_since(sent) {
            self.hung.cancel();
        }
    }

    fn is_silent_since(&self, time: Instant) -> bool {
        *lock(&self.last_ended_at) <= time
    }
}

/// The primary connection and the latest hedge connection.
pub(crate) struct Hedging {
    connect: Arc<Connect>,
    primary: Mutex<Arc<Connection>>,
    hedge: tokio::sync::Mutex<Option<Arc<Connection>>>,
    /// Limits the log to one line while Key Vault itself does not answer, as then all connections hang.
    hang_log: LogDedup<()>,
}

impl Hedging {
    /// Creates the primary connection. Hedge connections are created on demand.
    ///
    /// # Errors
    /// The client cannot be created; says why.
    pub(crate) fn new(connect: Arc<Connect>) -> Result<Self, String> {
        let primary = Mutex::new(Connection::new(connect()?));
        Ok(Self { connect, primary, hedge: Default::default(), hang_log: LogDedup::repeating() })
    }

    /// Returns the primary connection. One that hangs is replaced first, if a client can be created.
    pub(crate) async fn primary(&self) -> Arc<Connection> {
        let primary = lock(&self.primary).clone();
        if !primary.is_hung() {
            return primary;
        }
        let hedge = self.fresh_hedge(&primary).await;
        hedge.inspect(|hedge| self.replace_primary(&primary, hedge)).unwrap_or(primary)
    }

    /// Returns a connection to make a hedge on, other than `connection`: the primary one, which is replaced first if it
    /// hangs, or a fresh one while `connection` is the primary one. `None` when no client can be created, which is logged.
    pub(crate) async fn hedge_for(&self, connection: &Arc<Connection>) -> Option<Arc<Connection>> {
        let primary = self.primary().await;
        if !Arc::ptr_eq(&primary, connection) {
            Some(primary)
        } else if connection.is_hung() {
            None
        } else {
            self.fresh_hedge(connection).await
        }
    }

    /// Returns a fresh hedge connection, which all callers share that need one at the time.
    async fn fresh_hedge(&self, primary: &Arc<Connection>) -> Option<Arc<Connection>> {
        let mut hedge = self.hedge.lock().await;
        let is_fresh = |hedge: &Arc<Connection>| {
            !Arc::ptr_eq(hedge, primary) && hedge.created_at.elapsed() <= LONGEST_HEDGE_AGE
        };
        if !hedge.as_ref().is_some_and(is_fresh) {
            let connect = self.connect.clone();
            // blocking, as a new client reads the trust roots
            *hedge = match spawn_blocking(move || connect()).await {
                Ok(Ok(vault)) => Some(Connection::new(vault)),
                Ok(Err(problem)) => {
                    tracing::warn!(err = problem, "No second connection to Key Vault");
                    None
                }
                Err(_) => None, // it panicked, which is logged
            };
        }
        hedge.clone()
    }

    /// Records that Key Vault answered a call on `hedge` that was sent then. If no call ended on `primary` since, that one
    /// hangs: `hedge` becomes the primary connection, and the calls that wait on the old one are moved.
    pub(crate) fn hedge_answered(&self, hedge: &Arc<Connection>, primary: &Arc<Connection>, sent: Instant) {
        if primary.is_silent_since(sent) {
            self.replace_primary(primary, hedge);
        }
    }

    fn replace_primary(&self, old: &Arc<Connection>, new: &Arc<Connection>) {
        let mut primary = lock(&self.primary);
        if Arc::ptr_eq(&primary, old) {
            log_or_debug!(
                self.hang_log.should_log(()),
                warn,
                "The connection to Key Vault hangs; another one takes its place"
            );
            *primary = new.clone();
        }
        old.hung.cancel();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A token bucket that limits hedges to a share of the calls: each call deposits a token, and each hedge withdraws
/// [`TOKENS_PER_HEDGE`].
pub(crate) struct HedgeBudget(Mutex<u32>);

/// The number of calls for which one hedge is allowed.
const TOKENS_PER_HEDGE: u32 = 10;
/// The largest number of hedges in a burst.
const BURST: u32 = 10;

impl Default for HedgeBudget {
    /// Creates a full budget.
    fn default() -> Self {
        Self(Mutex::new(TOKENS_PER_HEDGE * BURST))
    }
}

impl HedgeBudget {
    /// Records a call.
    pub(crate) fn deposit(&self) {
        let mut tokens = lock(&self.0);
        *tokens = (*tokens + 1).min(TOKENS_PER_HEDGE * BURST);
    }

    /// Returns whether the budget allows a hedge now, and takes it from the budget.
    pub(crate) fn withdraw(&self) -> bool {
        let mut tokens = lock(&self.0);
        let remaining = tokens.checked_sub(TOKENS_PER_HEDGE);
        *tokens = remaining.unwrap_or(*tokens);
        remaining.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_attempts_are_a_tenth_of_the_calls_after_a_few_at_once() {
        let budget = HedgeBudget::default();
        assert_eq!((0..100).filter(|_| budget.withdraw()).count(), BURST as usize);
        let hedges = (0..1000).filter(|_| {
            budget.deposit();
            budget.withdraw()
        });
        assert_eq!(hedges.count(), 100);
    }
}
