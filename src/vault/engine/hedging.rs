//! Two connections to Key Vault: the connections in use, and fresh ones for when those hang.
//!
//! HTTP/2 carries every call on one connection. When it hangs, a second attempt on it would hang too.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::telemetry::{LogDedup, log_or_debug};
use crate::vault::{Vault, VaultError};

/// Makes a client with connections of its own.
pub(crate) type Connect = dyn Fn() -> Result<Arc<dyn Vault>, String> + Send + Sync;

/// A spare connection that was made earlier than this is not fresh any more: what made a connection hang may have come
/// after both.
const FRESH: Duration = Duration::from_secs(1);

/// A client, and when it was last known to be alive.
pub(crate) struct Connection {
    vault: Arc<dyn Vault>,
    made: Instant,
    alive: Mutex<Instant>,
    retired: CancellationToken,
}

impl Connection {
    fn new(vault: Arc<dyn Vault>) -> Arc<Self> {
        let made = Instant::now();
        Arc::new(Self { vault, made, alive: Mutex::new(made), retired: CancellationToken::new() })
    }

    /// Makes one call here, and takes note of its end: what hangs has none.
    pub(crate) async fn call<T, F>(&self, call: &impl Fn(Arc<dyn Vault>) -> F) -> Result<T, VaultError>
    where
        F: Future<Output = Result<T, VaultError>>,
    {
        let outcome = call(self.vault.clone()).await;
        *lock(&self.alive) = Instant::now();
        outcome
    }

    /// Waits until others have found that this connection hangs.
    pub(crate) async fn retired(&self) {
        self.retired.cancelled().await;
    }

    /// Whether others have found that this connection hangs.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.is_cancelled()
    }

    /// Whether no call has ended here since then.
    fn silent_since(&self, then: Instant) -> bool {
        *lock(&self.alive) <= then
    }
}

/// The connection in use and, for a while, a spare.
pub(crate) struct Hedging {
    connect: Arc<Connect>,
    current: Mutex<Arc<Connection>>,
    spare: tokio::sync::Mutex<Option<Arc<Connection>>>,
    /// With a vault that is silent itself, every connection hangs.
    logged: LogDedup<()>,
}

impl Hedging {
    /// One connection; others are made when they are needed.
    ///
    /// # Errors
    /// There is no client; says why.
    pub(crate) fn new(connect: Arc<Connect>) -> Result<Self, String> {
        let current = Mutex::new(Connection::new(connect()?));
        Ok(Self { connect, current, spare: Default::default(), logged: LogDedup::repeating() })
    }

    /// The connection for the next call.
    pub(crate) async fn current(&self) -> Arc<Connection> {
        let connection = lock(&self.current).clone();
        match connection.is_retired() {
            true => self
                .other_than(&connection)
                .await
                .inspect(|fresh| self.replace(&connection, fresh))
                .unwrap_or(connection),
            false => connection,
        }
    }

    /// A connection with other connections than `slow` has. `None` when there can be none, which is logged.
    pub(crate) async fn other_than(&self, primary: &Arc<Connection>) -> Option<Arc<Connection>> {
        let current = lock(&self.current).clone();
        match Arc::ptr_eq(&current, primary) {
            true => self.spare(primary).await,
            false => Some(current),
        }
    }

    /// One for all who need it now. A client reads trust roots when it is made, so not here.
    async fn spare(&self, primary: &Arc<Connection>) -> Option<Arc<Connection>> {
        let mut spare = self.spare.lock().await;
        let is_fresh = |connection: &Arc<Connection>| {
            !Arc::ptr_eq(connection, primary) && connection.made.elapsed() <= FRESH
        };
        if !spare.as_ref().is_some_and(is_fresh) {
            let connect = self.connect.clone();
            *spare = match spawn_blocking(move || connect()).await {
                Ok(Ok(vault)) => Some(Connection::new(vault)),
                Ok(Err(problem)) => {
                    tracing::warn!(err = problem, "No second connection to Key Vault");
                    None
                }
                Err(_) => None, // it panicked, which is logged
            };
        }
        spare.clone()
    }

    /// Key Vault answered on `hedge` to a call that was made there at `sent`. If no call ended on `slow` meanwhile,
    /// that one hangs: from now on calls go to `hedge`, and those that wait on `slow` are told.
    pub(crate) fn answered_first(&self, hedge: &Arc<Connection>, primary: &Arc<Connection>, sent: Instant) {
        if primary.silent_since(sent) {
            self.replace(primary, hedge);
        }
    }

    /// A call on that connection had no answer since `sent`. If no other had one either, nobody is to wait there any more.
    pub(crate) fn no_answer(connection: &Connection, sent: Instant) {
        if connection.silent_since(sent) {
            connection.retired.cancel();
        }
    }

    fn replace(&self, old: &Arc<Connection>, new: &Arc<Connection>) {
        let mut current = lock(&self.current);
        if Arc::ptr_eq(&current, old) {
            log_or_debug!(
                self.logged.should_log(()),
                warn,
                "The connection to Key Vault hangs; another one takes its place"
            );
            *current = new.clone();
        }
        old.retired.cancel();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many second attempts may be made: one for so many calls, saved up to a few.
pub(crate) struct HedgeBudget(Mutex<u32>);

/// A call adds one, a second attempt takes so many.
const PRICE: u32 = 10;
/// So many second attempts at once.
const SAVED: u32 = 10;

impl Default for HedgeBudget {
    /// Starts full.
    fn default() -> Self {
        Self(Mutex::new(PRICE * SAVED))
    }
}

impl HedgeBudget {
    /// A call is made.
    pub(crate) fn earn(&self) {
        let mut saved = lock(&self.0);
        *saved = (*saved + 1).min(PRICE * SAVED);
    }

    /// Whether there may be a second attempt now, which is then paid for.
    pub(crate) fn spend(&self) -> bool {
        let mut saved = lock(&self.0);
        let left = saved.checked_sub(PRICE);
        *saved = left.unwrap_or(*saved);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_attempts_are_a_tenth_of_the_calls_after_a_few_at_once() {
        let budget = HedgeBudget::default();
        assert_eq!((0..100).filter(|_| budget.spend()).count(), SAVED as usize);
        let spent = (0..1000).filter(|_| {
            budget.earn();
            budget.spend()
        });
        assert_eq!(spent.count(), 100);
    }
}
