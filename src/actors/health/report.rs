//! What the probes found, and what follows from it. Plain data, no timers.

use std::time::Duration;

use tokio::time::Instant;

use crate::kms::{Api, Code, KmsError};

/// A healthy check falls at the so-manieth failure in a row, …
const FALLS_AFTER: u32 = 3;
/// … or when they have lasted for so long.
const FALLS_AFTER_TIME: Duration = Duration::from_secs(30);

/// The state of one check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Check {
    /// Not probed yet.
    #[default]
    Unknown,
    /// The last probe succeeded.
    Healthy,
    /// Healthy as far as others are told: there were few failures yet, the first of them then.
    Degraded {
        /// Failures since the last success.
        failures: u32,
        /// When the first of them was.
        since: Instant,
    },
    /// Failed.
    Failed {
        /// Why, fit for API users.
        problem: KmsError,
        /// When the first failure after the last success was.
        since: Instant,
    },
}

impl Check {
    /// Rises at the first success; falls when failures have damped no longer, or at once if it never was healthy.
    pub(super) fn update(&mut self, outcome: Result<(), KmsError>) {
        let now = Instant::now();
        *self = match (outcome, &*self) {
            (Ok(()), _) => Self::Healthy,
            (Err(_), Self::Healthy) => Self::Degraded { failures: 1, since: now },
            (Err(_), Self::Degraded { failures, since })
                if failures + 1 < FALLS_AFTER && now - *since < FALLS_AFTER_TIME =>
            {
                Self::Degraded { failures: failures + 1, since: *since }
            }
            (Err(problem), Self::Degraded { since, .. } | Self::Failed { since, .. }) => {
                Self::Failed { problem, since: *since }
            }
            (Err(problem), Self::Unknown) => Self::Failed { problem, since: now },
        };
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) fn outcome(&self) -> Result<(), KmsError> {
        match self {
            Self::Healthy | Self::Degraded { .. } => Ok(()),
            Self::Unknown => Err(KmsError::new(Code::Unavailable, "not probed yet")),
            Self::Failed { problem, .. } => Err(problem.clone()),
        }
    }

    fn outage(&self) -> Option<Outage> {
        match self {
            Self::Failed { problem, since } => Some(Outage { problem: problem.clone(), since: *since }),
            _ => None,
        }
    }
}

/// Key Vault does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outage {
    /// Why.
    pub problem: KmsError,
    /// When the first probe failed.
    pub since: Instant,
}

impl Outage {
    /// Whether waiting does not help: Key Vault refuses this identity or this key, or the key is gone.
    pub(crate) fn is_permanent(&self) -> bool {
        self.problem.code.meaning().is_permanent
    }
}

/// What the probes found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HealthReport {
    /// Version and Status answer on the socket.
    pub grpc_socket: Check,
    /// Encrypt and Decrypt of v1 give back what was put in.
    pub(super) v1: Check,
    /// The same for v2.
    pub(super) v2: Check,
}

impl HealthReport {
    pub(super) fn round_trip(&self, api: Api) -> &Check {
        match api {
            Api::V1 => &self.v1,
            Api::V2 => &self.v2,
        }
    }

    pub(super) fn round_trip_mut(&mut self, api: Api) -> &mut Check {
        match api {
            Api::V1 => &mut self.v1,
            Api::V2 => &mut self.v2,
        }
    }

    /// Whether Key Vault was probed at least once.
    pub(crate) fn is_complete(&self) -> bool {
        [&self.v1, &self.v2].iter().any(|check| **check != Check::Unknown)
    }

    /// Whether it says more than that nothing was probed yet.
    pub(super) fn is_telling(&self) -> bool {
        self.is_complete() || matches!(self.grpc_socket, Check::Failed { .. })
    }

    /// Whether Key Vault serves both APIs. One that was not probed yet does not count.
    ///
    /// # Errors
    /// Why one of them fails.
    pub(crate) fn key_vault(&self) -> Result<(), KmsError> {
        let mut probed = [&self.v1, &self.v2].into_iter().filter(|check| **check != Check::Unknown);
        match self.is_complete() {
            true => probed.try_for_each(Check::outcome),
            false => Check::Unknown.outcome(),
        }
    }

    /// The outage of Key Vault, if there is one: a permanent one before others, and then the one that began first.
    pub(crate) fn outage(&self) -> Option<Outage> {
        let outages = [&self.v1, &self.v2].into_iter().filter_map(Check::outage);
        outages.min_by_key(|outage| (!outage.is_permanent(), outage.since))
    }

    /// Why the plugin is not healthy; `None` when it is.
    pub(crate) fn problem(&self) -> Option<String> {
        self.failing().map(|(check, problem)| format!("{check}: {}", problem.message))
    }

    /// The check that fails, and why.
    pub(super) fn failing(&self) -> Option<(&'static str, KmsError)> {
        let checks = [("grpc-socket", self.grpc_socket.outcome()), ("key-vault", self.key_vault())];
        checks.into_iter().find_map(|(name, outcome)| Some((name, outcome.err()?)))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn down(code: Code) -> KmsError {
        KmsError::new(code, "down")
    }

    fn update(check: &mut Check, outcomes: impl IntoIterator<Item = bool>) {
        for ok in outcomes {
            check.update(if ok { Ok(()) } else { Err(down(Code::Unavailable)) });
        }
    }

    fn after(outcomes: impl IntoIterator<Item = bool>) -> Check {
        let mut check = Check::Unknown;
        update(&mut check, outcomes);
        check
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_never_was_healthy_fails_at_once() {
        assert_eq!(after([false]).outcome(), Err(down(Code::Unavailable)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_healthy_check_survives_two_failures_and_falls_at_the_third() {
        assert!(after([true, false, false]).outcome().is_ok());
        assert!(after([true, false, false, true, false, false]).outcome().is_ok());
        assert!(after([true, false, false, false]).outcome().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_that_last_for_30_s_make_it_fall_too() {
        let mut check = after([true, false]);
        advance(FALLS_AFTER_TIME).await;
        update(&mut check, [false]);
        assert!(check.outcome().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_check_rises_at_the_first_success() {
        assert_eq!(after([false, false, false, false, true]), Check::Healthy);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_began_with_the_first_failure() {
        let (start, mut check) = (Instant::now(), after([true, false]));
        for _ in 0..5 {
            advance(Duration::from_secs(1)).await;
            update(&mut check, [false]);
        }
        assert_eq!(check.outage().map(|outage| outage.since), Some(start));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_of_one_api_makes_the_outage_permanent() {
        let mut report = HealthReport { v1: after([false]), ..HealthReport::default() };
        assert_eq!(report.outage().map(|outage| outage.is_permanent()), Some(false));
        report.v2.update(Err(down(Code::PermissionDenied)));
        assert_eq!(report.outage().map(|outage| outage.is_permanent()), Some(true));
        report.v1.update(Ok(()));
        report.v2.update(Ok(()));
        assert_eq!(report.outage(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_problem_names_the_check_and_its_reason() {
        let report = HealthReport { grpc_socket: Check::Healthy, v1: after([false]), v2: Check::Healthy };
        assert_eq!(report.problem().as_deref(), Some("key-vault: down"));
        assert_eq!(HealthReport::default().problem().as_deref(), Some("grpc-socket: not probed yet"));
    }

    #[test]
    fn one_api_that_was_probed_is_enough_until_the_other_is() {
        let report = HealthReport { grpc_socket: Check::Healthy, v1: Check::Healthy, v2: Check::Unknown };
        assert_eq!((report.is_complete(), report.problem()), (true, None));
    }
}
