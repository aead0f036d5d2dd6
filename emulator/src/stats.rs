//! Statistics: counts of calls by operation and principal, and the latest responses of the vaults.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// The counts since the start or the last reset.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stats {
    /// Authenticated calls by operation, and responses 401 as `unauthorized`.
    calls: BTreeMap<String, u64>,
    /// Tokens that Entra ID and IMDS issued.
    pub tokens_issued: u64,
    /// Those tokens by the client's credential: `secret`, `certificate`, `federated` or `identity`.
    pub tokens_by_credential: BTreeMap<String, u64>,
    /// Requests that came in proxy mode.
    pub proxied: u64,
    /// Completed TLS handshakes.
    pub tls_handshakes: u64,
    /// Requests over HTTP/2.
    pub http2_requests: u64,
    /// Responses with status 429.
    pub throttled: u64,
    /// Calls by principal (client id) and operation.
    pub by_principal: BTreeMap<String, BTreeMap<String, u64>>,
}

/// The largest number of recorded responses; the oldest is dropped for a new one.
const MAX_RECORDED: usize = 100_000;

/// A response of a vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordedResponse {
    /// The operation (`encrypt`, `get`, …) of its request.
    pub operation: String,
    /// The HTTP status.
    pub status: u16,
    /// Its `x-ms-request-id`.
    pub request_id: String,
}

impl Stats {
    /// Returns the number of authenticated calls of that operation (`encrypt`, `get`, …), or of responses 401 for
    /// `unauthorized`.
    pub fn calls(&self, operation: &str) -> u64 {
        self.calls.get(operation).copied().unwrap_or(0)
    }
}

/// The kind of credential by which a client authenticates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CredentialKind {
    /// A client secret.
    Secret,
    /// An assertion signed by a registered certificate.
    Certificate,
    /// A token of a federated issuer.
    Federated,
    /// None: IMDS authenticates the machine.
    ManagedIdentity,
}

impl CredentialKind {
    /// Returns its name in the statistics.
    fn name(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Certificate => "certificate",
            Self::Federated => "federated",
            Self::ManagedIdentity => "identity",
        }
    }
}

/// The statistics that all services share.
#[derive(Default)]
pub(crate) struct Counters {
    /// The counts.
    stats: Mutex<Stats>,
    /// The latest responses of the vaults, oldest first.
    responses: Mutex<VecDeque<RecordedResponse>>,
}

impl Counters {
    /// Returns a copy of the counts.
    pub(crate) fn snapshot(&self) -> Stats {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the latest responses, oldest first.
    pub(crate) fn responses(&self) -> Vec<RecordedResponse> {
        self.with_responses(|responses| responses.iter().cloned().collect())
    }

    /// Records a response of a vault.
    pub(crate) fn record(&self, response: RecordedResponse) {
        self.with_responses(|responses| {
            if responses.len() == MAX_RECORDED {
                responses.pop_front();
            }
            responses.push_back(response);
        });
    }

    /// Sets all counts to zero and drops the responses.
    pub(crate) fn reset(&self) {
        self.update(|stats| *stats = Stats::default());
        self.with_responses(VecDeque::clear);
    }

    /// Counts an authenticated call.
    pub(crate) fn call(&self, principal: &str, operation: &str) {
        self.update(|stats| {
            *stats.calls.entry(operation.to_owned()).or_default() += 1;
            let calls = stats.by_principal.entry(principal.to_owned()).or_default();
            *calls.entry(operation.to_owned()).or_default() += 1;
        });
    }

    /// Counts a response with status 401.
    pub(crate) fn unauthorized(&self) {
        self.update(|stats| *stats.calls.entry("unauthorized".to_owned()).or_default() += 1);
    }

    pub(crate) fn token_issued(&self, credential: CredentialKind) {
        self.update(|stats| {
            stats.tokens_issued += 1;
            *stats.tokens_by_credential.entry(credential.name().to_owned()).or_default() += 1;
        });
    }

    pub(crate) fn proxied(&self) {
        self.update(|stats| stats.proxied += 1);
    }

    pub(crate) fn tls_handshake(&self) {
        self.update(|stats| stats.tls_handshakes += 1);
    }

    pub(crate) fn http2_request(&self) {
        self.update(|stats| stats.http2_requests += 1);
    }

    pub(crate) fn throttled(&self) {
        self.update(|stats| stats.throttled += 1);
    }

    fn update(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn with_responses<T>(&self, act: impl FnOnce(&mut VecDeque<RecordedResponse>) -> T) -> T {
        act(&mut self.responses.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
