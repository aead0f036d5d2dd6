//! The response of Status in an outage of Key Vault: with a key_id kube-apiserver continues to write, and with an error
//! it stops after 3 minutes.

use crate::actors::Outage;
use crate::config::{OnOutage, StatusPolicy};
use crate::kms::KmsError;

impl StatusPolicy {
    /// Checks that Status may still respond with the key_id.
    ///
    /// # Errors
    /// The outage's error, when Key Vault refuses permanently, or when the outage exceeds the policy's limit.
    pub(super) fn check(&self, outage: &Outage) -> Result<(), KmsError> {
        let may_coast = match self.on_outage {
            OnOutage::Fail => false,
            OnOutage::Coast => self.coast_limit.is_none_or(|limit| outage.since.elapsed() < limit),
        };
        if may_coast && !outage.is_permanent() { Ok(()) } else { Err(outage.problem.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, advance};

    use super::*;
    use crate::kms::Code;

    const MINUTE: Duration = Duration::from_secs(60);

    fn outage(code: Code) -> Outage {
        Outage { problem: KmsError::new(code, "down"), since: Instant::now() }
    }

    fn policy(on_outage: OnOutage, coast_limit: Option<Duration>) -> StatusPolicy {
        StatusPolicy { on_outage, coast_limit }
    }

    #[tokio::test(start_paused = true)]
    async fn a_transient_outage_is_coasted_through_for_as_long_as_allowed() {
        let transient =
            [Code::Unavailable, Code::DeadlineExceeded, Code::ResourceExhausted, Code::Unauthenticated];
        for code in transient {
            let outage = outage(code);
            let (endless, limited) = (policy(OnOutage::Coast, None), policy(OnOutage::Coast, Some(MINUTE)));
            assert!(endless.check(&outage).is_ok() && limited.check(&outage).is_ok());
            advance(MINUTE).await;
            assert!(endless.check(&outage).is_ok());
            assert_eq!(limited.check(&outage), Err(outage.problem));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_permanent_refusal_is_never_coasted_through() {
        for code in [Code::PermissionDenied, Code::FailedPrecondition, Code::NotFound] {
            assert_eq!(policy(OnOutage::Coast, None).check(&outage(code)), Err(KmsError::new(code, "down")));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn fail_does_not_coast_at_all() {
        assert!(policy(OnOutage::Fail, None).check(&outage(Code::Unavailable)).is_err());
    }
}
