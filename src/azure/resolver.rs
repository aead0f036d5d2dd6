//! Name resolution that is waited for once: known addresses are used at once and refreshed behind, and stay usable when
//! the resolver does not answer.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::telemetry::LogDedup;

/// The time within which known addresses are not looked up again.
const REFRESH_AFTER: Duration = Duration::from_secs(5);

/// The time after which nobody joins a lookup any more: its thread may be blocked, or gone with its actor.
const STUCK_AFTER: Duration = Duration::from_secs(10);

type Addresses = Vec<SocketAddr>;
type Lookup = Shared<BoxFuture<'static, Result<Addresses, LookupError>>>;
type LookupFn = dyn Fn(String) -> BoxFuture<'static, io::Result<Addresses>> + Send + Sync;

/// The addresses of hosts as the system's resolver gives them (`getaddrinfo(3)`). Clones share them.
#[derive(Clone)]
pub(crate) struct CachingResolver {
    lookup: Arc<LookupFn>,
    hosts: Arc<Mutex<HashMap<String, Host>>>,
    /// The hosts whose failed lookups were logged.
    failures: Arc<LogDedup<String>>,
}

#[derive(Default)]
struct Host {
    known: Option<(Addresses, Instant)>,
    lookup: Option<InFlight>,
}

/// The latest lookup.
struct InFlight {
    lookup: Lookup,
    task: AbortHandle,
    began: Instant,
}

impl InFlight {
    fn is_joinable(&self) -> bool {
        !self.task.is_finished() && self.began.elapsed() < STUCK_AFTER
    }
}

/// The failure of a lookup, which the cause of a failed call names.
#[derive(Clone, Debug)]
pub(super) struct LookupError(Arc<io::Error>);

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "name resolution: {}", self.0)
    }
}

impl std::error::Error for LookupError {}

impl Default for CachingResolver {
    fn default() -> Self {
        Self::new(|host| async move { Ok(lookup_host((host, 0)).await?.collect()) }.boxed())
    }
}

impl CachingResolver {
    fn new(
        lookup: impl Fn(String) -> BoxFuture<'static, io::Result<Addresses>> + Send + Sync + 'static,
    ) -> Self {
        Self { lookup: Arc::new(lookup), hosts: Arc::default(), failures: Arc::new(LogDedup::repeating()) }
    }

    /// Returns the addresses of that host: the known ones at once, else those of the lookup that is in flight or begins.
    ///
    /// # Errors
    /// None are known, and the lookup fails.
    async fn addresses(&self, host: String) -> Result<Addresses, LookupError> {
        let lookup = match self.known_or_lookup(&host) {
            Ok(addresses) => return Ok(addresses),
            Err(lookup) => lookup,
        };
        lookup.await
    }

    /// Returns the known addresses. Begins a lookup unless they are fresh.
    ///
    /// # Errors
    /// None are known: returns the lookup to wait for.
    fn known_or_lookup(&self, host: &str) -> Result<Addresses, Lookup> {
        let mut hosts = self.hosts();
        let entry = hosts.entry(host.to_owned()).or_default();
        if let Some((addresses, at)) = &entry.known
            && at.elapsed() < REFRESH_AFTER
        {
            return Ok(addresses.clone());
        }
        let joinable = entry.lookup.take().filter(InFlight::is_joinable);
        let in_flight = joinable.unwrap_or_else(|| self.look_up(host.to_owned()));
        let lookup = entry.lookup.insert(in_flight).lookup.clone();
        entry.known.as_ref().map(|(addresses, _)| addresses.clone()).ok_or(lookup)
    }

    /// Begins a lookup, which goes on whoever waits for it.
    fn look_up(&self, host: String) -> InFlight {
        let (resolver, looking) = (self.clone(), (self.lookup)(host.clone()));
        let task = tokio::spawn(async move {
            let none = || io::Error::other("no address");
            let found =
                looking.await.and_then(|found| Some(found).filter(|f| !f.is_empty()).ok_or_else(none));
            resolver.end(host, &found);
            found.map_err(|error| LookupError(Arc::new(error)))
        });
        let (handle, began) = (task.abort_handle(), Instant::now());
        let stopped = |error| LookupError(Arc::new(io::Error::other(error)));
        let lookup = async move { task.await.unwrap_or_else(|error| Err(stopped(error))) }.boxed().shared();
        InFlight { lookup, task: handle, began }
    }

    fn end(&self, host: String, found: &io::Result<Addresses>) {
        let mut hosts = self.hosts();
        let known = &mut hosts.entry(host.clone()).or_default().known;
        match (found, &known) {
            (Ok(addresses), _) => {
                *known = Some((addresses.clone(), Instant::now()));
                if self.failures.recover() {
                    tracing::info!(host, "The name resolves again");
                }
            }
            (Err(error), Some((_, at))) if self.failures.should_log(host.clone()) => {
                let age_s = at.elapsed().as_secs();
                tracing::warn!(host, age_s, err = %error, "The name does not resolve, its last addresses stay in use");
            }
            (Err(_), _) => {} // the call that needs it fails with the reason
        }
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<String, Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolve for CachingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, host) = (self.clone(), name.as_str().to_owned());
        Box::pin(async move {
            let addresses = resolver.addresses(host).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests;
