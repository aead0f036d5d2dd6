//! What is known of the traffic to the vault. Outlives the actors that share it: a restart grants no new burst, and
//! forgets neither a throttling nor an outage.

use std::num::NonZeroU32;

use super::breaker::Breaker;
use super::lanes::HedgeBudget;
use super::latency::Latencies;
use super::limiter::Rate;
use super::tap::Tap;

/// Shared by every engine of one vault.
pub(crate) struct Traffic {
    /// Our own limit.
    pub(super) rate: Rate,
    /// Key Vault's limit.
    pub(super) tap: Tap,
    /// Whether Key Vault is down.
    pub(super) breaker: Breaker,
    /// How long it takes.
    pub(super) latencies: Latencies,
    /// How many second attempts there may be.
    pub(super) hedges: HedgeBudget,
}

impl Traffic {
    /// Nothing is known yet; `qps` calls a second after a burst of `burst`.
    pub(crate) fn new(qps: NonZeroU32, burst: NonZeroU32) -> Self {
        Self {
            rate: Rate::new(qps, burst),
            tap: Tap::default(),
            breaker: Breaker::default(),
            latencies: Latencies::default(),
            hedges: HedgeBudget::default(),
        }
    }
}
