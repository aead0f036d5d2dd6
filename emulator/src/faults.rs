//! The faults in force, and the outcome of a request under them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The sliding window of `throttle_per_10s`.
const WINDOW: Duration = Duration::from_secs(10);

/// The faults of each service.
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

/// The faults of one service. The default is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultSet {
    /// Delay of every response, in milliseconds.
    pub latency_ms: u64,
    /// Largest random delay on top, in milliseconds.
    pub jitter_ms: u64,
    /// Share of requests (0 to 1) that fail with `status`.
    pub error_rate: f64,
    /// HTTP status of those, from 400 to 599; 500 when it is absent. The body is the service's own for that status.
    pub status: Option<u16>,
    /// Number of requests in 10 s beyond which the service responds with 429.
    pub throttle_per_10s: Option<u32>,
    /// `Retry-After` of a 429, in seconds; without it there is no such header, as with the real service.
    pub retry_after_s: Option<u64>,
    /// Share of requests (0 to 1) whose connection is closed without a response; with HTTP/2, whose stream is reset.
    pub reset_rate: f64,
    /// Fault of the body of successes, and of the errors of `error_rate`.
    pub body: Option<BodyFault>,
    /// Vault only: names another key version in the `kid` of encrypt, decrypt, wrapKey and unwrapKey.
    pub wrong_kid: bool,
    /// Vault only: rejects valid tokens.
    pub unauthorized: Option<Unauthorized>,
}

/// A fault of a response's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyFault {
    /// The second half is missing.
    Truncated,
    /// The body is an HTML page, such as a gateway sends with an error.
    Html,
}

/// The number of times that a valid token is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unauthorized {
    /// Once, then never again.
    Once,
    /// Every time.
    Always,
}

/// The services for which there are faults.
#[derive(Clone, Copy)]
pub(crate) enum Service {
    /// Key Vault and managed HSM.
    Vault,
    /// Entra ID.
    Entra,
    /// IMDS.
    Imds,
}

/// The outcome of a request that the faults decide.
pub(crate) enum Outcome {
    /// The service handles it.
    Serve,
    /// The service's own error with that HTTP status.
    Fail(u16),
    /// A 429 with that `Retry-After` in seconds, if there is one.
    Throttle(Option<u64>),
    /// The connection is closed, or the HTTP/2 stream reset, without a response.
    Reset,
}

impl Faults {
    /// Checks the ranges of all fields.
    ///
    /// # Errors
    /// A rate is not from 0 to 1, a status not from 400 to 599, or a fault of the vault is set for another service;
    /// names the field.
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

/// The faults in force, with their counters.
#[derive(Default)]
struct FaultState {
    /// The faults in force.
    faults: Faults,
    /// The times of the requests in the window, by [`Service`], oldest first.
    recent: [VecDeque<Instant>; 3],
}

/// The faults in force, behind a lock.
#[derive(Default)]
pub(crate) struct ActiveFaults(Mutex<FaultState>);

impl ActiveFaults {
    /// Replaces the faults, and forgets the requests that were counted for throttling.
    pub(crate) fn set(&self, faults: Faults) {
        self.with(|active| *active = FaultState { faults, ..FaultState::default() });
    }

    /// Returns a copy of the faults in force.
    pub(crate) fn current(&self) -> Faults {
        self.with(|active| active.faults.clone())
    }

    /// Returns a copy of the faults of that service.
    pub(crate) fn of(&self, service: Service) -> FaultSet {
        self.with(|active| active.of(service).clone())
    }

    /// Waits for the service's delay, then decides the outcome of one request.
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
            && !self.with(|active| active.admits(service, limit as usize))
        {
            return Outcome::Throttle(set.retry_after_s);
        }
        match set.status.unwrap_or(500) {
            _ if random() >= set.error_rate => Outcome::Serve,
            429 => Outcome::Throttle(set.retry_after_s),
            status => Outcome::Fail(status),
        }
    }

    /// Reports whether this valid token is to be rejected; uses up a `once`.
    pub(crate) fn rejects_token(&self) -> bool {
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

    /// Counts a request unless the window is full, and reports whether it did. Throttled requests do not count, as with
    /// the real service.
    fn admits(&mut self, service: Service, limit: usize) -> bool {
        let recent = &mut self.recent[service as usize];
        let now = Instant::now();
        while recent.front().is_some_and(|first| now.duration_since(*first) >= WINDOW) {
            recent.pop_front();
        }
        let admitted = recent.len() < limit;
        if admitted {
            recent.push_back(now);
        }
        admitted
    }
}

/// Returns a random number from 0, inclusive, to 1, exclusive.
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
        let rejecting = |how| Faults {
            vault: FaultSet { unauthorized: Some(how), ..FaultSet::default() },
            ..Faults::default()
        };
        active.set(rejecting(Unauthorized::Once));
        assert_eq!([active.rejects_token(), active.rejects_token()], [true, false]);
        active.set(rejecting(Unauthorized::Always));
        assert_eq!([active.rejects_token(), active.rejects_token()], [true, true]);
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
