//! Counts what is called, by whom, and remembers the latest answers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// What was called.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stats {
    calls: BTreeMap<String, u64>,
    /// Tokens that Entra ID and IMDS gave.
    pub tokens_issued: u64,
    /// Those tokens by what the client proved itself with: `secret`, `certificate`, `federated` or `identity`.
    pub tokens_by_credential: BTreeMap<String, u64>,
    /// Requests that came in proxy mode.
    pub proxied: u64,
    /// TLS handshakes that came to an end.
    pub tls_handshakes: u64,
    /// Requests that came by HTTP/2.
    pub http2_requests: u64,
    /// Answers 429.
    pub throttled: u64,
    /// Calls by principal (client id) and operation.
    pub by_principal: BTreeMap<String, BTreeMap<String, u64>>,
}

/// So many of the latest answers are remembered.
const REMEMBERED: usize = 100_000;

/// One answer of a vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answered {
    /// The operation (`encrypt`, `get`, …) that its path names.
    pub operation: String,
    /// The HTTP status.
    pub status: u16,
    /// Its `x-ms-request-id`.
    pub request_id: String,
}

impl Stats {
    /// Authenticated calls of that operation (`encrypt`, `get`, …), or answers 401 as `unauthorized`.
    pub fn calls(&self, operation: &str) -> u64 {
        self.calls.get(operation).copied().unwrap_or(0)
    }
}

/// What a client proves itself with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    Secret,
    Certificate,
    Federated,
    Identity,
}

impl Credential {
    fn name(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Certificate => "certificate",
            Self::Federated => "federated",
            Self::Identity => "identity",
        }
    }
}

#[derive(Default)]
pub(crate) struct Counters {
    stats: Mutex<Stats>,
    answers: Mutex<VecDeque<Answered>>,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Stats {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The latest answers, oldest first.
    pub(crate) fn answers(&self) -> Vec<Answered> {
        self.remembered(|answers| answers.iter().cloned().collect())
    }

    pub(crate) fn answered(&self, answer: Answered) {
        self.remembered(|answers| {
            if answers.len() == REMEMBERED {
                answers.pop_front();
            }
            answers.push_back(answer);
        });
    }

    pub(crate) fn reset(&self) {
        self.update(|stats| *stats = Stats::default());
        self.remembered(VecDeque::clear);
    }

    pub(crate) fn call(&self, principal: &str, operation: &str) {
        self.update(|stats| {
            *stats.calls.entry(operation.to_owned()).or_default() += 1;
            let calls = stats.by_principal.entry(principal.to_owned()).or_default();
            *calls.entry(operation.to_owned()).or_default() += 1;
        });
    }

    pub(crate) fn unauthorized(&self) {
        self.update(|stats| *stats.calls.entry("unauthorized".to_owned()).or_default() += 1);
    }

    pub(crate) fn token_issued(&self, credential: Credential) {
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

    fn remembered<T>(&self, act: impl FnOnce(&mut VecDeque<Answered>) -> T) -> T {
        act(&mut self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
