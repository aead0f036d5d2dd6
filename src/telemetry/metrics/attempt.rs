//! One attempt on Key Vault, counted however it ends.

use std::time::Duration;

use tokio::time::Instant;

use super::labels::{CallLabels, GoLabels, OperationLabels};
use super::{KeyOperation, Metrics};

/// The result of an attempt whose caller did not wait for its end.
const ABANDONED: &str = "abandoned";

/// An attempt under way.
pub(crate) struct Attempt<'a> {
    metrics: &'a Metrics,
    operation: KeyOperation,
    start: Instant,
    result: &'static str,
}

impl Metrics {
    /// An attempt begins; `probes` when it is one of our own health probes.
    pub(crate) fn key_vault_call(&self, operation: KeyOperation, probes: bool) -> Attempt<'_> {
        if probes {
            self.probe_calls.inc();
        }
        Attempt { metrics: self, operation, start: Instant::now(), result: ABANDONED }
    }
}

impl Attempt<'_> {
    /// It ended: with that failure, or with success. Returns how long it took.
    pub(crate) fn ended(mut self, failure: Option<&'static str>) -> Duration {
        self.result = failure.unwrap_or("success");
        self.start.elapsed()
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let Self { metrics, operation, start, result } = self;
        let seconds = start.elapsed().as_secs_f64();
        let is_get = *operation == KeyOperation::GetKey;
        let operation = operation.as_str();
        metrics.calls.get_or_create(&CallLabels { operation, result }).inc();
        if *result == ABANDONED {
            return; // how long Key Vault would have taken nobody knows
        }
        metrics.call_seconds.get_or_create(&OperationLabels { operation }).observe(seconds);
        if *result == "throttled" {
            metrics.throttled.inc();
        }
        if !is_get {
            let status = if *result == "success" { "success" } else { "error" };
            metrics.go_requests.get_or_create(&GoLabels { operation, status }).observe(seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn throttling_by_key_vault_is_counted() {
        let metrics = Metrics::new();
        metrics.key_vault_call(KeyOperation::Decrypt, false).ended(Some("throttled"));
        assert!(metrics.render().contains("azure_kms_key_vault_throttled_total 1"));
    }

    #[tokio::test]
    async fn an_attempt_that_nobody_waits_for_is_counted_as_such() {
        let metrics = Metrics::new();
        drop(metrics.key_vault_call(KeyOperation::Decrypt, false));
        let counted = r#"azure_kms_key_vault_calls_total{operation="decrypt",result="abandoned"} 1"#;
        assert!(metrics.render().contains(counted), "{}", metrics.render());
    }

    #[tokio::test]
    async fn the_calls_of_health_probes_are_counted_apart() {
        let metrics = Metrics::new();
        metrics.key_vault_call(KeyOperation::Decrypt, false).ended(None);
        metrics.key_vault_call(KeyOperation::Decrypt, true).ended(None);
        assert!(metrics.render().contains("azure_kms_key_vault_probe_calls_total 1"));
    }
}
