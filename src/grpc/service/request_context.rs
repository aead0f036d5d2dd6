//! The context of one request: its API, its deadline, and its origin, a client or one of our own probes.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Request;

use super::deadline;
use crate::actors::PROBE_HEADER;
use crate::grpc::layers::AuditContext;
use crate::kms::Api;
use crate::vault::Priority;

/// The shortest timeout whose expiry indicates an outage: within less a healthy Key Vault may not respond.
const SUFFICIENT_TIMEOUT: Duration = Duration::from_secs(1);

/// The context of one request, beside its message.
#[derive(Clone, Debug)]
pub(crate) struct RequestContext {
    /// The API.
    pub api: Api,
    /// The time of arrival.
    arrived: Instant,
    /// The time by which to respond.
    pub deadline: Instant,
    /// The request is a probe of the `HealthActor`.
    pub is_probe: bool,
    /// The fields for the audit log.
    pub(in crate::grpc) audit: AuditContext,
}

impl RequestContext {
    /// Makes the context of a request that has just arrived.
    pub(super) fn of<M>(api: Api, request: &Request<M>) -> Self {
        let metadata = request.metadata();
        let (arrived, deadline) = (Instant::now(), deadline::of(metadata));
        let audit = request.extensions().get::<AuditContext>().cloned().unwrap_or_default();
        Self { api, arrived, deadline, is_probe: metadata.contains_key(PROBE_HEADER), audit }
    }

    /// Returns whether the timeout is long enough for a failure to be a sign of Key Vault's health.
    pub(crate) fn has_sufficient_timeout(&self) -> bool {
        self.deadline - self.arrived >= SUFFICIENT_TIMEOUT
    }

    /// Returns the priority of the request: the lowest for a probe, otherwise `of_client`.
    pub(crate) fn priority(&self, of_client: Priority) -> Priority {
        if self.is_probe { Priority::Probe } else { of_client }
    }
}
