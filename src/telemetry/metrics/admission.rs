//! The key operations that run, and those that wait for it.

use std::num::NonZeroU32;

use prometheus_client::metrics::gauge::Gauge;
use serde::{Deserialize, Serialize};

use super::Metrics;

/// Counts one in a gauge for as long as it lives.
pub(crate) struct Counted(Gauge);

impl Counted {
    /// Counts one more. Returns how many there were before.
    fn new(gauge: &Gauge) -> (Self, i64) {
        let before = gauge.inc();
        (Self(gauge.clone()), before)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What the gauges say, and the bound of the first.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AdmissionView {
    /// `--max-in-flight`
    pub max_in_flight: u32,
    /// How many key operations run.
    pub in_flight: i64,
    /// How many wait for that.
    pub queued: i64,
}

impl Metrics {
    /// Counts one more key operation that waits, until the result is dropped. Returns how many waited before it.
    pub(crate) fn queued(&self) -> (Counted, u32) {
        let (counted, before) = Counted::new(&self.queued);
        (counted, u32::try_from(before).unwrap_or_default())
    }

    /// Counts one more key operation that runs, until the result is dropped.
    pub(crate) fn in_flight(&self) -> Counted {
        Counted::new(&self.in_flight).0
    }

    /// Returns how many do either now, where `max_in_flight` may run.
    pub(crate) fn admission(&self, max_in_flight: NonZeroU32) -> AdmissionView {
        let (in_flight, queued) = (self.in_flight.get(), self.queued.get());
        AdmissionView { max_in_flight: max_in_flight.get(), in_flight, queued }
    }
}
