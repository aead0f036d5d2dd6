//! The context of one request: its API, its deadline, and whether one of our own probes sent it.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Request;

use super::deadline;
use crate::actors::PROBE_HEADER;
use crate::grpc::layers::AuditContext;
use crate::kms::Api;
use crate::vault::Priority;

/// Who waits for less than this may not see an answer though all is well.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the steps of one request know about it beside its message.
#[derive(Clone, Debug)]
pub(crate) struct RequestContext {
    /// The API it speaks.
    pub api: Api,
    /// When it asked.
    arrived: Instant,
    /// When to have answered.
    pub deadline: Instant,
    /// Whether it is the `HealthActor`.
    pub is_probe: bool,
    /// What the audit log is to know of it.
    pub(in crate::grpc) audit: AuditContext,
}

impl RequestContext {
    /// The caller that sent this now.
    pub(super) fn of<M>(api: Api, request: &Request<M>) -> Self {
        let metadata = request.metadata();
        let (arrived, deadline) = (Instant::now(), deadline::of(metadata));
        let audit = request.extensions().get::<AuditContext>().cloned().unwrap_or_default();
        Self { api, arrived, deadline, is_probe: metadata.contains_key(PROBE_HEADER), audit }
    }

    /// Whether it waits for as long as an answer of Key Vault may take.
    pub(crate) fn is_patient(&self) -> bool {
        self.deadline - self.arrived >= PATIENCE
    }

    /// How urgent its request is, which would be `usually` that.
    pub(crate) fn priority(&self, usually: Priority) -> Priority {
        if self.is_probe { Priority::Probe } else { usually }
    }
}
