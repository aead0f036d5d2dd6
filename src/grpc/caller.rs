//! Who asks: through which API, for how long, and whether it is one of our own probes.

use tokio::time::Instant;
use tonic::metadata::MetadataMap;

use super::deadline;
use crate::actors::{Api, PROBE_HEADER};
use crate::vault::Priority;

/// The caller of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// The API it speaks.
    pub api: Api,
    /// When to have answered.
    pub deadline: Instant,
    /// Whether it is the `HealthActor`.
    pub probes: bool,
}

impl Caller {
    /// The caller that sent these headers now.
    pub(crate) fn of(api: Api, metadata: &MetadataMap) -> Self {
        Self { api, deadline: deadline::of(metadata), probes: metadata.contains_key(PROBE_HEADER) }
    }

    /// How urgent its request is, which would be `usually` that.
    pub(crate) fn priority(&self, usually: Priority) -> Priority {
        if self.probes { Priority::Probe } else { usually }
    }
}
