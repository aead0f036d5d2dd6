//! The routes of both HTTP ports.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::checks::{CheckResult, Checks};
use super::health::{Query, response, single_response};
use crate::telemetry::Metrics;

const PLAIN: [(header::HeaderName, &str); 2] =
    [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
const OPEN_METRICS: [(header::HeaderName, &str); 1] =
    [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];

/// Returns the routes of `/healthz`, at its configured path, `/livez` and `/readyz`, each with a path for every check.
pub(crate) fn health_routes(healthz_path: &str, checks: Checks) -> Router {
    let all: fn(&Checks) -> Vec<CheckResult> = Checks::all;
    Router::new()
        .merge(endpoint("healthz", healthz_path, all, &checks))
        .merge(endpoint("livez", "/livez", Checks::live, &checks))
        .merge(endpoint("readyz", "/readyz", all, &checks))
}

/// Returns the route of `/metrics`, which includes the current results of the health checks.
pub(crate) fn metrics_routes(metrics: Arc<Metrics>, checks: Checks) -> Router {
    let render = |State((metrics, checks)): State<(Arc<Metrics>, Checks)>| async move {
        checks.all().iter().for_each(|(name, outcome)| metrics.healthcheck(name, outcome.is_ok()));
        (OPEN_METRICS, metrics.render())
    };
    Router::new().route("/metrics", get(render)).with_state((metrics, checks))
}

fn endpoint(
    name: &'static str,
    path: &str,
    select: fn(&Checks) -> Vec<CheckResult>,
    checks: &Checks,
) -> Router {
    let every_check = move |State(checks): State<Checks>, RawQuery(query): RawQuery| async move {
        let (status, body) = response(name, &select(&checks), &Query::parse(query.as_deref()));
        plain(status, body)
    };
    let one_check = move |State(checks): State<Checks>, Path(check): Path<String>| async move {
        single_response(&select(&checks), &check).map(|(status, body)| plain(status, body))
    };
    Router::new()
        .route(path, get(every_check))
        .route(&format!("{path}/{{check}}"), get(one_check))
        .with_state(checks.clone())
}

/// Returns a response in plain text, with the headers of Kubernetes' components.
pub(super) fn plain(status: StatusCode, body: String) -> Response {
    (status, PLAIN, body).into_response()
}
