//! One attempt on Key Vault, counted and traced however it ends.

use std::time::Duration;

use tokio::time::Instant;
use tracing::Span;

use super::labels::{CallLabels, GoLabels, OperationLabels};
use super::{KeyOperation, Metrics};
use crate::telemetry::traces;

/// The result of an attempt that was dropped before it ended.
const ABANDONED: &str = "abandoned";

/// The parameters of an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyVaultCall {
    /// The operation.
    pub operation: KeyOperation,
    /// The attempt is the plugin's own: a health probe or a warm-up.
    pub is_probe: bool,
    /// The number of the attempt: 1 is the first, 2 its first retry.
    pub attempt: u32,
    /// The attempt is a hedge: made on fresh connections because another is slow.
    pub is_hedge: bool,
}

/// An attempt in flight.
pub(crate) struct Attempt<'a> {
    metrics: &'a Metrics,
    operation: KeyOperation,
    start: Instant,
    span: Span,
    result: &'static str,
}

impl Metrics {
    /// Starts to measure an attempt.
    pub(crate) fn key_vault_call(&self, call: KeyVaultCall) -> Attempt<'_> {
        if call.is_probe {
            self.probe_calls.inc();
        }
        let (operation, start) = (call.operation, Instant::now());
        Attempt { metrics: self, operation, start, span: traces::key_vault_call(call), result: ABANDONED }
    }
}

impl Attempt<'_> {
    /// Returns the span to run it in.
    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Ends it with that failure, or with success. Returns its duration.
    pub(crate) fn ended(mut self, failure: Option<&'static str>) -> Duration {
        self.result = failure.unwrap_or("success");
        self.start.elapsed()
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let Self { metrics, operation, start, span, result } = self;
        let seconds = start.elapsed().as_secs_f64();
        let is_get = *operation == KeyOperation::GetKey;
        let operation = operation.as_str();
        metrics.calls.get_or_create(&CallLabels { operation, result }).inc();
        if *result == ABANDONED {
            traces::key_vault_call_abandoned(span, ABANDONED);
            return; // the duration of Key Vault's response is not known
        }
        let failure = Some(*result).filter(|result| *result != "success");
        traces::key_vault_call_ended(span, failure);
        metrics.call_seconds.get_or_create(&OperationLabels { operation }).observe(seconds);
        if *result == "throttled" {
            metrics.throttled.inc();
        }
        if !is_get {
            let status = if failure.is_none() { "success" } else { "error" };
            metrics.go_requests.get_or_create(&GoLabels { operation, status }).observe(seconds);
        }
    }
}

#[cfg(test)]
impl KeyVaultCall {
    /// Returns the parameters of the first attempt for a client.
    pub(super) fn first(operation: KeyOperation) -> Self {
        Self { operation, is_probe: false, attempt: 1, is_hedge: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn throttling_by_key_vault_is_counted() {
        let metrics = Metrics::new();
        metrics.key_vault_call(KeyVaultCall::first(KeyOperation::Decrypt)).ended(Some("throttled"));
        assert!(metrics.render().contains("azure_kms_key_vault_throttled_total 1"));
    }

    #[tokio::test]
    async fn an_attempt_that_nobody_waits_for_is_counted_as_such() {
        let metrics = Metrics::new();
        drop(metrics.key_vault_call(KeyVaultCall::first(KeyOperation::Decrypt)));
        let counted = r#"azure_kms_key_vault_calls_total{operation="decrypt",result="abandoned"} 1"#;
        assert!(metrics.render().contains(counted), "{}", metrics.render());
    }

    #[tokio::test]
    async fn the_calls_of_health_probes_are_counted_apart() {
        let metrics = Metrics::new();
        metrics.key_vault_call(KeyVaultCall::first(KeyOperation::Decrypt)).ended(None);
        let call = KeyVaultCall { is_probe: true, ..KeyVaultCall::first(KeyOperation::Decrypt) };
        metrics.key_vault_call(call).ended(None);
        assert!(metrics.render().contains("azure_kms_key_vault_probe_calls_total 1"));
    }
}
