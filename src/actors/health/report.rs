//! The results of the probes, and the state of health that follows from them. Plain data, no timers.

use std::time::Duration;

use tokio::time::Instant;

use crate::kms::{Api, Code, KmsError};

/// The failures in a row at which a healthy check fails.
const FAILURE_THRESHOLD: u32 = 3;
/// The duration of failures after which a healthy check fails, though they are fewer.
const FAILURE_PERIOD: Duration = Duration::from_secs(30);

/// The state of one check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Check {
    /// Not probed yet.
    #[default]
    Unknown,
    /// The last probe succeeded.
    Healthy,
    /// Reported as healthy: the failures since the last success are below both limits.
    Degraded {
        /// The number of failures since the last success.
        failures: u32,
        /// The time of the first of them.
        since: Instant,
    },
    /// Reported as failed.
    Failed {
        /// The reason, fit for API users.
        problem: KmsError,
        /// The time of the first failure after the last success.
        since: Instant,
    },
}

impl Check {
    /// Applies the outcome of a probe. One success makes the check healthy. A healthy check fails at the limits
    /// above, and one that was never healthy fails at once.
    pub(super) fn update(&mut self, outcome: Result<(), KmsError>) {
        let now = Instant::now();
        *self = match (outcome, &*self) {
            (Ok(()), _) => Self::Healthy,
            (Err(_), Self::Healthy) => Self::Degraded { failures: 1, since: now },
            (Err(_), Self::Degraded { failures, since })
                if failures + 1 < FAILURE_THRESHOLD && now - *since < FAILURE_PERIOD =>
            {
                Self::Degraded { failures: failures + 1, since: *since }
            }
            (Err(problem), Self::Degraded { since, .. } | Self::Failed { since, .. }) => {
                Self::Failed { problem, since: *since }
            }
            (Err(problem), Self::Unknown) => Self::Failed { problem, since: now },
        };
    }

    /// Returns the reported state of the check.
    ///
    /// # Errors
    /// The check has failed, or was not probed yet.
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

/// An outage of Key Vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outage {
    /// The reason.
    pub problem: KmsError,
    /// The time of the first failed probe.
    pub since: Instant,
}

impl Outage {
    /// Returns whether waiting does not help: Key Vault refuses this identity or this key, or the key was deleted.
    pub(crate) fn is_permanent(&self) -> bool {
        self.problem.code.meaning().is_permanent
    }
}

/// The report of the `HealthActor`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HealthReport {
    /// The check that Version and Status answer on the socket.
    pub grpc_socket: Check,
    /// The check that Decrypt of v1 returns what Encrypt of v1 was given.
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

    /// Returns whether Key Vault was probed at least once.
    pub(crate) fn is_complete(&self) -> bool {
        [&self.v1, &self.v2].iter().any(|check| **check != Check::Unknown)
    }

    /// Returns whether there is a result to log: Key Vault was probed, or the socket has failed.
    pub(super) fn has_result(&self) -> bool {
        self.is_complete() || matches!(self.grpc_socket, Check::Failed { .. })
    }

    /// Returns whether Key Vault serves both APIs. One that was not probed yet is left out.
    ///
    /// # Errors
    /// The check of an API has failed, or neither was probed yet.
    pub(crate) fn key_vault(&self) -> Result<(), KmsError> {
        let mut probed = [&self.v1, &self.v2].into_iter().filter(|check| **check != Check::Unknown);
        if self.is_complete() { probed.try_for_each(Check::outcome) } else { Check::Unknown.outcome() }
    }

    /// Returns the outage of Key Vault, if there is one: a permanent one before others, then the one that began
    /// first.
    pub(crate) fn outage(&self) -> Option<Outage> {
        let outages = [&self.v1, &self.v2].into_iter().filter_map(Check::outage);
        outages.min_by_key(|outage| (!outage.is_permanent(), outage.since))
    }

    /// Returns the reason why the plugin is not healthy; `None` when it is.
    pub(crate) fn problem(&self) -> Option<String> {
        self.first_failure().map(|(check, problem)| format!("{check}: {}", problem.message))
    }

    /// Returns the first failed check, and its reason.
    pub(super) fn first_failure(&self) -> Option<(&'static str, KmsError)> {
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
        for is_ok in outcomes {
            check.update(if is_ok { Ok(()) } else { Err(down(Code::Unavailable)) });
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
        advance(FAILURE_PERIOD).await;
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
