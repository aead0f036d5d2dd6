//! Every metric of the daemon: built once, passed in, rendered by `http`.
//!
//! Labels are closed sets: never the text of an error, the name of a key or a value from a client.

mod admission;
mod key_vault_call;
mod labels;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets, exponential_buckets_range};
use prometheus_client::registry::Registry;

use crate::kms::{Api, Code, Method};
pub(crate) use admission::{AdmissionView, GaugeGuard};
pub(crate) use key_vault_call::KeyVaultCall;
pub(crate) use labels::KeyOperation;
use labels::{
    BuildLabels, CallLabels, GoLabels, HealthcheckLabels, MethodLabels, OperationLabels, RequestLabels,
    RestartLabels, ResultLabels, go_label,
};

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The registry and its metrics.
pub(crate) struct Metrics {
    registry: Registry,
    go_requests: Histograms<GoLabels>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Histograms<MethodLabels>,
    in_flight: Gauge,
    queued: Gauge,
    calls: Family<CallLabels, Counter>,
    call_seconds: Histograms<OperationLabels>,
    throttled: Counter,
    probe_calls: Counter,
    hedges: Counter,
    hedges_won: Counter,
    breaker_open: Gauge,
    token_expiry: Gauge,
    token_refreshes: Family<ResultLabels, Counter>,
    reloads: Family<ResultLabels, Counter>,
    restarts: Family<RestartLabels, Counter>,
    dropped_spans: Counter,
    audit_lines_lost: Counter,
    healthchecks: Family<HealthcheckLabels, Gauge>,
}

/// Returns the Go plugin's buckets: eleven from 0.1 s to 2 s, exponential.
fn go_buckets() -> Histogram {
    Histogram::new(exponential_buckets_range(0.1, 2.0, 11))
}

/// Returns buckets from 0.1 ms to about 6.6 s: kube-apiserver's timeout is 3 s.
fn latency_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 17))
}

impl Metrics {
    /// Makes and registers every metric.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        let metrics = Self::register(&mut registry);
        register_process(&mut registry);
        Self { registry, ..metrics }
    }

    fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            registry: Registry::default(),
            go_requests: Family::new_with_constructor(go_buckets),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(latency_buckets),
            in_flight: Gauge::default(),
            queued: Gauge::default(),
            calls: Family::default(),
            call_seconds: Family::new_with_constructor(latency_buckets),
            throttled: Counter::default(),
            probe_calls: Counter::default(),
            hedges: Counter::default(),
            hedges_won: Counter::default(),
            breaker_open: Gauge::default(),
            token_expiry: Gauge::default(),
            token_refreshes: Family::default(),
            reloads: Family::default(),
            restarts: Family::default(),
            dropped_spans: Counter::default(),
            audit_lines_lost: Counter::default(),
            healthchecks: Family::default(),
        };
        for result in ["success", "error"] {
            drop(metrics.reloads.get_or_create(&ResultLabels { result })); // at zero before the first
        }
        metrics.register_requests(registry);
        metrics.register_key_vault(registry);
        metrics.register_dependencies(registry);
        metrics
    }

    fn register_requests(&self, registry: &mut Registry) {
        let go = "Duration in seconds of requests and key operations, as the Go plugin exports it";
        registry.register("kms_request", go, self.go_requests.clone());
        registry.register(
            "azure_kms_requests",
            "gRPC requests by method and gRPC code, refused ones included",
            self.requests.clone(),
        );
        let seconds = "Duration of gRPC requests in seconds, from arrival to answer";
        registry.register("azure_kms_request_duration_seconds", seconds, self.request_seconds.clone());
        registry.register("azure_kms_requests_in_flight", "Admitted key operations", self.in_flight.clone());
        registry.register(
            "azure_kms_requests_queued",
            "Key operations that wait for admission",
            self.queued.clone(),
        );
    }

    fn register_key_vault(&self, registry: &mut Registry) {
        let calls = "Attempts on Key Vault by their result";
        registry.register("azure_kms_key_vault_calls", calls, self.calls.clone());
        let seconds = "Duration of attempts on Key Vault in seconds";
        registry.register("azure_kms_key_vault_call_duration_seconds", seconds, self.call_seconds.clone());
        let throttled = "Answers 429 of Key Vault";
        registry.register("azure_kms_key_vault_throttled", throttled, self.throttled.clone());
        let probe_calls = "Attempts on Key Vault that the plugin made for itself: health probes and warm-ups";
        registry.register("azure_kms_key_vault_probe_calls", probe_calls, self.probe_calls.clone());
        let hedges = "Second attempts on fresh connections, made because the first was slow";
        registry.register("azure_kms_key_vault_hedges", hedges, self.hedges.clone());
        let won = "Second attempts that succeeded first";
        registry.register("azure_kms_key_vault_hedges_won", won, self.hedges_won.clone());
        let open = "1 while Key Vault is down and calls fail at once, 0 otherwise";
        registry.register("azure_kms_key_vault_breaker_open", open, self.breaker_open.clone());
    }

    fn register_dependencies(&self, registry: &mut Registry) {
        let expiry = "When the Entra token expires, or expired while there is no newer one, in Unix seconds; 0 before \
                      the first one and after Key Vault rejected it";
        registry.register("azure_kms_token_expiry_timestamp_seconds", expiry, self.token_expiry.clone());
        registry.register(
            "azure_kms_token_refreshes",
            "Token refreshes by result",
            self.token_refreshes.clone(),
        );
        let reloads =
            "Reloads of credential and trust roots by result; a failed one keeps the old credential";
        registry.register("azure_kms_reloads", reloads, self.reloads.clone());
        registry.register("azure_kms_actor_restarts", "Restarts of actors by reason", self.restarts.clone());
        let dropped =
            "Spans of traces that the collector did not take, or that came faster than they were exported";
        registry.register("azure_kms_trace_spans_dropped", dropped, self.dropped_spans.clone());
        let lost = "Key operations that are missing in the audit log";
        registry.register("azure_kms_audit_lines_lost", lost, self.audit_lines_lost.clone());
        let checks =
            "Result of each check of healthz: 1 ok, 0 failed; as Kubernetes' own components export it";
        registry.register("kubernetes_healthcheck", checks, self.healthchecks.clone());
    }

    /// Counts a gRPC request that ended. `code` is `None` for success.
    pub(crate) fn request(&self, api: Api, method: Method, code: Option<Code>, took: Duration) {
        let status = if code.is_none() { "success" } else { "error" };
        let seconds = took.as_secs_f64();
        let go = GoLabels { operation: go_label(method), status };
        self.go_requests.get_or_create(&go).observe(seconds);
        let (api, method) = (api.as_str(), method.as_str());
        self.request_seconds.get_or_create(&MethodLabels { api, method }).observe(seconds);
        let code = code.map_or("OK", Code::as_str);
        self.requests.get_or_create(&RequestLabels { api, method, code }).inc();
    }

    /// Counts a gRPC request that was refused before a handler had it. `method` is `None` when there is no such method.
    pub(crate) fn request_refused(&self, method: Option<(Api, Method)>, code: &'static str) {
        let (api, method) =
            method.map_or(("unknown", "unknown"), |(api, method)| (api.as_str(), method.as_str()));
        self.requests.get_or_create(&RequestLabels { api, method, code }).inc();
    }

    /// Counts a hedge: a second attempt on fresh connections.
    pub(crate) fn hedged(&self) {
        self.hedges.inc();
    }

    /// Counts a hedge that succeeded before the first attempt.
    pub(crate) fn hedge_won(&self) {
        self.hedges_won.inc();
    }

    /// Sets the state of the circuit breaker.
    pub(crate) fn breaker_open(&self, is_open: bool) {
        self.breaker_open.set(i64::from(is_open));
    }

    /// Counts a refresh of the token that ended.
    pub(crate) fn token_refreshed(&self, is_success: bool) {
        let result = if is_success { "success" } else { "error" };
        self.token_refreshes.get_or_create(&ResultLabels { result }).inc();
    }

    /// Counts a reload of the credential that ended.
    pub(crate) fn reloaded(&self, is_success: bool) {
        let result = if is_success { "success" } else { "error" };
        self.reloads.get_or_create(&ResultLabels { result }).inc();
    }

    /// Sets the expiry of the published token; `None` when there is none.
    pub(crate) fn token_expires(&self, time: Option<SystemTime>) {
        let seconds =
            time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default().as_secs();
        self.token_expiry.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// Returns the counter of dropped spans.
    pub(crate) fn dropped_spans(&self) -> Counter {
        self.dropped_spans.clone()
    }

    /// Counts a restart of that actor for that reason.
    pub(crate) fn actor_restarted(&self, actor: &'static str, reason: &'static str) {
        self.restarts.get_or_create(&RestartLabels { actor, reason }).inc();
    }

    /// Counts a record that the audit log lost.
    pub(crate) fn audit_line_lost(&self) {
        self.audit_lines_lost.inc();
    }

    /// Returns the number of records that the audit log lost.
    pub(crate) fn audit_lines_lost(&self) -> u64 {
        self.audit_lines_lost.get()
    }

    /// Sets the result of a health check.
    pub(crate) fn healthcheck(&self, name: &'static str, is_ok: bool) {
        let labels = HealthcheckLabels { name, r#type: "healthz" };
        self.healthchecks.get_or_create(&labels).set(i64::from(is_ok));
    }

    /// Initialises the counter of that actor and reason to zero, so that a first restart shows as an increase.
    pub(crate) fn expect_restarts(&self, actor: &'static str, reason: &'static str) {
        drop(self.restarts.get_or_create(&RestartLabels { actor, reason }));
    }

    /// Renders all metrics in the OpenMetrics 1.0 text format.
    pub(crate) fn render(&self) -> String {
        let mut out = String::new();
        match text::encode(&mut out, &self.registry) {
            Ok(()) => out,
            Err(_) => String::from("# EOF\n"), // writing to a String does not fail
        }
    }
}

fn register_process(registry: &mut Registry) {
    let build: Family<BuildLabels, Gauge> = Family::default();
    build
        .get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION"), commit: env!("BUILD_COMMIT") })
        .set(1);
    registry.register("azure_kms_build_info", "Version of this program", build);
    let start: Gauge = Gauge::default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    start.set(i64::try_from(now).unwrap_or(i64::MAX));
    registry.register("process_start_time_seconds", "When the process started, in Unix seconds", start);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn kms_request_has_the_labels_and_buckets_of_the_go_plugin() {
        let metrics = Metrics::new();
        metrics.request(Api::V2, Method::Encrypt, Some(Code::Unavailable), Duration::from_millis(150));
        metrics.key_vault_call(KeyVaultCall::first(KeyOperation::Encrypt)).ended(None);
        let text = metrics.render();
        assert!(text.contains(r#"kms_request_count{operation="grpc_encrypt",status="error"} 1"#), "{text}");
        assert!(text.contains(r#"kms_request_count{operation="encrypt",status="success"} 1"#), "{text}");
        let buckets =
            text.lines().filter(|l| l.starts_with("kms_request_bucket") && l.contains("grpc_encrypt"));
        assert_eq!(buckets.count(), 12, "{text}"); // eleven and +Inf
    }

    #[test]
    fn a_restart_counter_is_visible_before_the_first_restart() {
        let metrics = Metrics::new();
        metrics.expect_restarts("token", "panic");
        let zero = r#"azure_kms_actor_restarts_total{actor="token",reason="panic"} 0"#;
        assert!(metrics.render().contains(zero));
        metrics.actor_restarted("token", "panic");
        assert!(!metrics.render().contains(zero));
    }
}
