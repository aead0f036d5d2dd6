//! What real traffic shows of Key Vault: successes spare a probe, a failure asks for one.
//!
//! Written by the gRPC handlers, read by the `HealthActor`; outlives it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::kms::Api;

/// When each operation of each API last succeeded.
pub(crate) struct PassiveHealth {
    start: Instant,
    encrypted: [Moment; 2],
    decrypted: [Moment; 2],
    failures: watch::Sender<u64>,
}

/// Milliseconds since the start, plus one; 0 is never.
#[derive(Default)]
struct Moment(AtomicU64);

impl PassiveHealth {
    /// Nothing was seen yet.
    pub(crate) fn none() -> Self {
        Self {
            start: Instant::now(),
            encrypted: Default::default(),
            decrypted: Default::default(),
            failures: watch::Sender::new(0),
        }
    }

    /// An Encrypt of that API succeeded.
    pub(crate) fn encrypted(&self, api: Api) {
        self.now(&self.encrypted[api as usize]);
    }

    /// A Decrypt of that API succeeded.
    pub(crate) fn decrypted(&self, api: Api) {
        self.now(&self.decrypted[api as usize]);
    }

    /// A client's call failed, and not for what the client sent.
    pub(crate) fn failed(&self) {
        self.failures.send_modify(|failures| *failures += 1);
    }

    /// Changes with every doubt.
    pub(super) fn failures(&self) -> watch::Receiver<u64> {
        self.failures.subscribe()
    }

    /// Whether both operations of that API succeeded since then: as good as a probe.
    pub(super) fn healthy_since(&self, api: Api, then: Instant) -> bool {
        [&self.encrypted, &self.decrypted].iter().all(|moments| self.is_since(&moments[api as usize], then))
    }

    /// Whether any operation succeeded since then: Key Vault is there, if busy.
    pub(super) fn alive_since(&self, then: Instant) -> bool {
        self.encrypted.iter().chain(&self.decrypted).any(|moment| self.is_since(moment, then))
    }

    fn now(&self, moment: &Moment) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        moment.0.store(millis + 1, Ordering::Relaxed);
    }

    fn is_since(&self, moment: &Moment, then: Instant) -> bool {
        let at = moment.0.load(Ordering::Relaxed).checked_sub(1);
        at.is_some_and(|millis| self.start + Duration::from_millis(millis) >= then)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn both_operations_of_an_api_are_needed_to_spare_its_probe() {
        let (passive_health, start) = (PassiveHealth::none(), Instant::now());
        passive_health.encrypted(Api::V1);
        assert!(!passive_health.healthy_since(Api::V1, start) && passive_health.alive_since(start));
        passive_health.decrypted(Api::V1);
        assert!(
            passive_health.healthy_since(Api::V1, start) && !passive_health.healthy_since(Api::V2, start)
        );
        advance(Duration::from_secs(1)).await;
        let later = Instant::now();
        assert!(!passive_health.healthy_since(Api::V1, later) && !passive_health.alive_since(later));
    }
}
