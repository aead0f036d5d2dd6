//! The gauges of the key operations that run and are queued.

use std::num::NonZeroU32;

use prometheus_client::metrics::gauge::Gauge;
use serde::{Deserialize, Serialize};

use super::Metrics;

/// A guard that counts one in a gauge until it is dropped.
pub(crate) struct GaugeGuard(Gauge);

impl GaugeGuard {
    /// Increments the gauge. Returns the guard and the previous value.
    fn new(gauge: &Gauge) -> (Self, i64) {
        let before = gauge.inc();
        (Self(gauge.clone()), before)
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A snapshot of both gauges, and the limit of the first.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AdmissionView {
    /// The limit: `--max-in-flight`.
    pub max_in_flight: u32,
    /// The number of key operations that run.
    pub in_flight: i64,
    /// The number of key operations that are queued.
    pub queued: i64,
}

impl Metrics {
    /// Counts a queued key operation until the guard is dropped. Returns the number that was queued before it.
    pub(crate) fn queued(&self) -> (GaugeGuard, u32) {
        let (guard, before) = GaugeGuard::new(&self.queued);
        (guard, u32::try_from(before).unwrap_or_default())
    }

    /// Counts a running key operation until the guard is dropped.
    pub(crate) fn in_flight(&self) -> GaugeGuard {
        GaugeGuard::new(&self.in_flight).0
    }

    /// Returns a snapshot of both gauges, with the limit `max_in_flight`.
    pub(crate) fn admission(&self, max_in_flight: NonZeroU32) -> AdmissionView {
        let (in_flight, queued) = (self.in_flight.get(), self.queued.get());
        AdmissionView { max_in_flight: max_in_flight.get(), in_flight, queued }
    }
}
