//! Counts what is called, by whom.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// What was called.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stats {
    calls: BTreeMap<String, u64>,
    /// Tokens that Entra ID and IMDS gave.
    pub tokens_issued: u64,
    /// Answers 429.
    pub throttled: u64,
    /// Calls by principal (client id) and operation.
    pub by_principal: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Stats {
    /// Authenticated calls of that operation (`encrypt`, `get`, …), or answers 401 as `unauthorized`.
    pub fn calls(&self, operation: &str) -> u64 {
        self.calls.get(operation).copied().unwrap_or(0)
    }
}

#[derive(Default)]
pub(crate) struct Counters(Mutex<Stats>);

impl Counters {
    pub(crate) fn snapshot(&self) -> Stats {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn reset(&self) {
        self.update(|stats| *stats = Stats::default());
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

    pub(crate) fn token_issued(&self) {
        self.update(|stats| stats.tokens_issued += 1);
    }

    pub(crate) fn throttled(&self) {
        self.update(|stats| stats.throttled += 1);
    }

    fn update(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
