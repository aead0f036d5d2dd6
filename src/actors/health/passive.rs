//! Passive health: the outcomes of clients' requests. Successes spare a probe, a failure asks for one.
//!
//! Written by the gRPC handlers, read by the `HealthActor`, which it outlives.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::kms::Api;

/// The time of the last success of each operation of each API, and the number of failures.
pub(crate) struct PassiveHealth {
    start: Instant,
    encrypted: [LastSuccess; 2],
    decrypted: [LastSuccess; 2],
    failures: watch::Sender<u64>,
}

/// The time of a success, in milliseconds since `PassiveHealth::start`, plus 1; 0 before the first success.
#[derive(Default)]
struct LastSuccess(AtomicU64);

impl PassiveHealth {
    /// Creates a record without any outcome.
    pub(crate) fn none() -> Self {
        Self {
            start: Instant::now(),
            encrypted: Default::default(),
            decrypted: Default::default(),
            failures: watch::Sender::new(0),
        }
    }

    /// Records that an Encrypt of that API succeeded.
    pub(crate) fn encrypted(&self, api: Api) {
        self.record(&self.encrypted[api as usize]);
    }

    /// Records that a Decrypt of that API succeeded.
    pub(crate) fn decrypted(&self, api: Api) {
        self.record(&self.decrypted[api as usize]);
    }

    /// Records that a client's call failed, through no fault of the client.
    pub(crate) fn failed(&self) {
        self.failures.send_modify(|failures| *failures += 1);
    }

    /// Returns the number of failures, to watch for changes.
    pub(super) fn failures(&self) -> watch::Receiver<u64> {
        self.failures.subscribe()
    }

    /// Returns whether both operations of that API succeeded since then, which is as good as a probe.
    pub(super) fn is_healthy_since(&self, api: Api, then: Instant) -> bool {
        [&self.encrypted, &self.decrypted].iter().all(|last| self.is_since(&last[api as usize], then))
    }

    /// Returns whether any operation succeeded since then: Key Vault answers, though it may be busy.
    pub(super) fn is_alive_since(&self, then: Instant) -> bool {
        self.encrypted.iter().chain(&self.decrypted).any(|last| self.is_since(last, then))
    }

    fn record(&self, last: &LastSuccess) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        last.0.store(millis + 1, Ordering::Relaxed);
    }

    fn is_since(&self, last: &LastSuccess, then: Instant) -> bool {
        let at = last.0.load(Ordering::Relaxed).checked_sub(1);
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
        assert!(!passive_health.is_healthy_since(Api::V1, start) && passive_health.is_alive_since(start));
        passive_health.decrypted(Api::V1);
        assert!(
            passive_health.is_healthy_since(Api::V1, start)
                && !passive_health.is_healthy_since(Api::V2, start)
        );
        advance(Duration::from_secs(1)).await;
        let later = Instant::now();
        assert!(!passive_health.is_healthy_since(Api::V1, later) && !passive_health.is_alive_since(later));
    }
}
