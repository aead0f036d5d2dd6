//! The key operations that run, and those that wait for it.

use std::num::NonZeroU32;

use prometheus_client::metrics::gauge::Gauge;
use serde::{Deserialize, Serialize};

use super::Metrics;

/// Counts one in a gauge for as long as it lives.
pub(crate) struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
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
    /// One more key operation waits, until the result is dropped.
    pub(crate) fn queued(&self) -> Counted {
        Counted::new(&self.queued)
    }

    /// One more key operation runs, until the result is dropped.
    pub(crate) fn in_flight(&self) -> Counted {
        Counted::new(&self.in_flight)
    }

    /// How many do either now, where so many may run.
    pub(crate) fn admission(&self, max_in_flight: NonZeroU32) -> AdmissionView {
        let (in_flight, queued) = (self.in_flight.get(), self.queued.get());
        AdmissionView { max_in_flight: max_in_flight.get(), in_flight, queued }
    }
}
