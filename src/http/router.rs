//! Routes and listeners of both HTTP ports.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::checks::{Checks, Outcome};
use super::health::{Query, answer, single};
use crate::telemetry::Metrics;

const PLAIN: [(header::HeaderName, &str); 2] =
    [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
const OPEN_METRICS: [(header::HeaderName, &str); 1] =
    [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];

/// Listens on the address of that flag.
///
/// # Errors
/// A sentence that names the flag and the address.
pub(crate) async fn bind(flag: &str, addr: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(addr).await.map_err(|error| format!("--{flag}: cannot listen on {addr}: {error}"))
}

/// `/healthz` at its configured path, `/livez` and `/readyz`, each with a path for every check.
pub(crate) fn health_routes(healthz_path: &str, checks: Checks) -> Router {
    let all: fn(&Checks) -> Vec<Outcome> = Checks::all;
    Router::new()
        .merge(endpoint("healthz", healthz_path, all, &checks))
        .merge(endpoint("livez", "/livez", Checks::live, &checks))
        .merge(endpoint("readyz", "/readyz", all, &checks))
}

/// `/metrics`.
pub(crate) fn metrics_routes(metrics: Arc<Metrics>) -> Router {
    let render = |State(metrics): State<Arc<Metrics>>| async move { (OPEN_METRICS, metrics.render()) };
    Router::new().route("/metrics", get(render)).with_state(metrics)
}

fn endpoint(name: &'static str, path: &str, select: fn(&Checks) -> Vec<Outcome>, checks: &Checks) -> Router {
    let whole = move |State(checks): State<Checks>, RawQuery(query): RawQuery| async move {
        let (status, body) = answer(name, &select(&checks), &Query::parse(query.as_deref()));
        (status, PLAIN, body)
    };
    let one = move |State(checks): State<Checks>, Path(check): Path<String>| async move {
        respond(single(&select(&checks), &check))
    };
    Router::new()
        .route(path, get(whole))
        .route(&format!("{path}/{{check}}"), get(one))
        .with_state(checks.clone())
}

fn respond(answer: Option<(StatusCode, String)>) -> Response {
    match answer {
        Some((status, body)) => (status, PLAIN, body).into_response(),
        None => (StatusCode::NOT_FOUND, PLAIN, "404 page not found\n").into_response(),
    }
}
