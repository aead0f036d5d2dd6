//! Who asks: through which API, for how long, and whether it is one of our own probes.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Request;

use super::audited::Trail;
use super::deadline;
use crate::actors::{Api, PROBE_HEADER};
use crate::vault::Priority;

/// Who waits for less than this may not see an answer though all is well.
const PATIENCE: Duration = Duration::from_secs(1);

/// The caller of one request.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The API it speaks.
    pub api: Api,
    /// When it asked.
    arrived: Instant,
    /// When to have answered.
    pub deadline: Instant,
    /// Whether it is the `HealthActor`.
    pub probes: bool,
    /// What the audit log is to know of it.
    pub(super) trail: Trail,
}

impl Caller {
    /// The caller that sent this now.
    pub(super) fn of<M>(api: Api, request: &Request<M>) -> Self {
        let metadata = request.metadata();
        let (arrived, deadline) = (Instant::now(), deadline::of(metadata));
        let trail = request.extensions().get::<Trail>().cloned().unwrap_or_default();
        Self { api, arrived, deadline, probes: metadata.contains_key(PROBE_HEADER), trail }
    }

    /// Whether it waits for as long as an answer of Key Vault may take.
    pub(crate) fn is_patient(&self) -> bool {
        self.deadline - self.arrived >= PATIENCE
    }

    /// How urgent its request is, which would be `usually` that.
    pub(crate) fn priority(&self, usually: Priority) -> Priority {
        if self.probes { Priority::Probe } else { usually }
    }
}
