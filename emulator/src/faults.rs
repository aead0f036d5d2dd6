//! Misbehaviour on demand.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The time in which `throttle_per_10s` counts.
const WINDOW: Duration = Duration::from_secs(10);

/// What each service does wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Key Vault.
    pub vault: FaultSet,
    /// Entra ID.
    pub entra: FaultSet,
    /// IMDS.
    pub imds: FaultSet,
}

/// What one service does wrong. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultSet {
    /// Wait so long before every answer.
    pub latency_ms: u64,
    /// Wait up to so much longer.
    pub jitter_ms: u64,
    /// The share of requests (0 to 1) that get `status`.
    pub error_rate: f64,
    /// The status of those; 500 when it is absent. The body is what the service says with that status.
    pub status: Option<u16>,
    /// Answer 429 to what comes beyond so many requests in 10 s.
    pub throttle_per_10s: Option<u32>,
    /// The `Retry-After` of a 429; without it there is none, as with the real service.
    pub retry_after_s: Option<u64>,
    /// The share of requests (0 to 1) whose connection is closed without an answer.
    pub reset_rate: f64,
    /// What is wrong with the body of successes, and of the errors of `error_rate`.
    pub body: Option<BodyFault>,
    /// Vault only: name another key version in `kid`.
    pub wrong_kid: bool,
    /// Vault only: refuse valid tokens.
    pub unauthorized: Option<Unauthorized>,
}

/// What can be wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyFault {
    /// The second half is missing.
    Truncated,
    /// A page of HTML; with an error, such as a gateway's.
    Html,
}

/// How often a valid token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unauthorized {
    /// Once, then no more.
    Once,
    /// Always.
    Always,
}

/// The services that can misbehave.
#[derive(Clone, Copy)]
pub(crate) enum Service {
    Vault,
    Entra,
    Imds,
}

/// What is to happen to one request.
pub(crate) enum Outcome {
    Serve,
    Fail(u16),
    Throttle(Option<u64>),
    Reset,
}

impl Faults {
    /// # Errors
    /// The field that makes no sense.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (name, set) in [("vault", &self.vault), ("entra", &self.entra), ("imds", &self.imds)] {
            for (field, rate) in [("error_rate", set.error_rate), ("reset_rate", set.reset_rate)] {
                if !(0.0..=1.0).contains(&rate) {
                    return Err(format!("{name}.{field} must be from 0 to 1"));
                }
            }
            if set.status.is_some_and(|status| !(400..=599).contains(&status)) {
                return Err(format!("{name}.status must be from 400 to 599"));
            }
            if name != "vault" && (set.wrong_kid || set.unauthorized.is_some()) {
                return Err(format!("{name}: wrong_kid and unauthorized are for the vault only"));
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct FaultState {
    faults: Faults,
    recent: [VecDeque<Instant>; 3],
}

/// The faults now in force.
#[derive(Default)]
pub(crate) struct ActiveFaults(Mutex<FaultState>);

impl ActiveFaults {
    pub(crate) fn set(&self, faults: Faults) {
        self.with(|active| *active = FaultState { faults, ..FaultState::default() });
    }

    pub(crate) fn current(&self) -> Faults {
        self.with(|active| active.faults.clone())
    }

    pub(crate) fn of(&self, service: Service) -> FaultSet {
        self.with(|active| active.of(service).clone())
    }

    /// Waits as the faults say, and decides.
    pub(crate) async fn outcome(&self, service: Service) -> Outcome {
        let set = self.of(service);
        let jitter = Duration::from_millis(set.jitter_ms).mul_f64(random());
        let latency = Duration::from_millis(set.latency_ms) + jitter;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        if random() < set.reset_rate {
            return Outcome::Reset;
        }
        if let Some(limit) = set.throttle_per_10s
            && !self.with(|active| active.within(service, limit as usize))
        {
            return Outcome::Throttle(set.retry_after_s);
        }
        match set.status.unwrap_or(500) {
            _ if random() >= set.error_rate => Outcome::Serve,
            429 => Outcome::Throttle(set.retry_after_s),
            status => Outcome::Fail(status),
        }
    }

    /// Whether this valid token is to be refused; uses up a `once`.
    pub(crate) fn refuses_token(&self) -> bool {
        self.with(|active| match active.faults.vault.unauthorized {
            None => false,
            Some(Unauthorized::Always) => true,
            Some(Unauthorized::Once) => {
                active.faults.vault.unauthorized = None;
                true
            }
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut FaultState) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl FaultState {
    fn of(&self, service: Service) -> &FaultSet {
        match service {
            Service::Vault => &self.faults.vault,
            Service::Entra => &self.faults.entra,
            Service::Imds => &self.faults.imds,
        }
    }

    /// Counts a request, unless the window is full. Refused requests do not count, as with the real service.
    fn within(&mut self, service: Service, limit: usize) -> bool {
        let recent = &mut self.recent[service as usize];
        let now = Instant::now();
        while recent.front().is_some_and(|first| now.duration_since(*first) >= WINDOW) {
            recent.pop_front();
        }
        let within = recent.len() < limit;
        if within {
            recent.push_back(now);
        }
        within
    }
}

/// From 0, inclusive, to 1, exclusive.
fn random() -> f64 {
    let mut bytes = [0; 4];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0),
        Err(_) => 0.5, // without randomness every second request has the fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_and_impossible_values_are_refused() {
        assert!(serde_json::from_str::<Faults>(r#"{"vault":{"latency":5}}"#).is_err());
        let check = |json| serde_json::from_str::<Faults>(json).unwrap().check();
        assert!(check(r#"{"vault":{"error_rate":2}}"#).unwrap_err().contains("vault.error_rate"));
        assert!(check(r#"{"entra":{"wrong_kid":true}}"#).unwrap_err().contains("vault only"));
        assert!(check(r#"{"imds":{"status":200,"error_rate":1}}"#).unwrap_err().contains("imds.status"));
        assert_eq!(check(r#"{"vault":{"unauthorized":"once","body":"html"}}"#), Ok(()));
    }

    #[test]
    fn a_token_is_refused_once_or_always() {
        let active = ActiveFaults::default();
        let refusing = |how| Faults {
            vault: FaultSet { unauthorized: Some(how), ..FaultSet::default() },
            ..Faults::default()
        };
        active.set(refusing(Unauthorized::Once));
        assert_eq!([active.refuses_token(), active.refuses_token()], [true, false]);
        active.set(refusing(Unauthorized::Always));
        assert_eq!([active.refuses_token(), active.refuses_token()], [true, true]);
    }

    #[tokio::test]
    async fn requests_beyond_the_limit_are_throttled() {
        let active = ActiveFaults::default();
        let vault = FaultSet { throttle_per_10s: Some(2), retry_after_s: Some(7), ..FaultSet::default() };
        active.set(Faults { vault, ..Faults::default() });
        for _ in 0..2 {
            assert!(matches!(active.outcome(Service::Vault).await, Outcome::Serve));
        }
        assert!(matches!(active.outcome(Service::Vault).await, Outcome::Throttle(Some(7))));
        assert!(matches!(active.outcome(Service::Entra).await, Outcome::Serve));
    }
}
