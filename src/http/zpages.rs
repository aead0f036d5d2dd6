//! Kubernetes' z-pages, as text for people: `/statusz` and `/flagz`. `/statusz?format=json` is for our own command.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, Utc};

use super::router::plain;
use super::snapshot::Snapshots;

const COMPONENT: &str = "azure-kms-provider";
const WARNING: &str = "Warning: This endpoint is not meant to be machine parseable, has no formatting \
                       compatibility guarantees and is for debugging purposes only.";
/// JSON, and nobody is to keep what was true a moment ago.
const JSON: [(header::HeaderName, &str); 2] =
    [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];

/// What the pages show.
#[derive(Clone)]
pub(crate) struct ZPages {
    /// The state of the daemon.
    pub snapshots: Snapshots,
    /// Every flag and its value, without secrets.
    pub flags: Arc<Vec<(String, String)>>,
    /// The path of healthz.
    pub healthz: String,
}

/// `/statusz` and `/flagz`.
pub(crate) fn zpage_routes(pages: ZPages) -> Router {
    Router::new().route("/statusz", get(statusz)).route("/flagz", get(flagz)).with_state(pages)
}

async fn statusz(State(pages): State<ZPages>, RawQuery(query): RawQuery) -> Response {
    let snapshot = pages.snapshots.take();
    if query.is_some_and(|query| query.split('&').any(|pair| pair == "format=json")) {
        let json = serde_json::to_string(&snapshot).unwrap_or_default(); // strings and numbers do not fail
        return (JSON, json).into_response();
    }
    let paths = [pages.healthz.as_str(), "/livez", "/readyz", "/statusz", "/flagz"];
    let up = Duration::from_secs(snapshot.uptime_seconds);
    plain(StatusCode::OK, status_page(snapshot.started, up, &snapshot.version, &paths))
}

async fn flagz(State(pages): State<ZPages>) -> Response {
    plain(StatusCode::OK, flag_page(&pages.flags))
}

fn head(page: &str) -> String {
    format!("\n{COMPONENT} {page}\n{WARNING}\n")
}

fn status_page(started: DateTime<Utc>, up: Duration, version: &str, paths: &[&str]) -> String {
    let (head, started, paths) =
        (head("statusz"), started.format("%a %b %e %H:%M:%S UTC %Y"), paths.join(" "));
    let (hours, minutes, seconds) = (up.as_secs() / 3600, up.as_secs() / 60 % 60, up.as_secs() % 60);
    format!(
        "{head}Started: {started}\nUp: {hours} hr {minutes:02} min {seconds:02} sec\nBinary version: {version}\nPaths: \
         {paths}\n"
    )
}

fn flag_page(flags: &[(String, String)]) -> String {
    let lines = flags.iter().map(|(name, value)| format!("{name}={value}\n"));
    lines.fold(head("flagz"), |page, line| page + &line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statusz_is_kubernetes_page() {
        let up = Duration::from_secs(3 * 3600 + 5 * 60 + 9);
        let page = status_page(DateTime::UNIX_EPOCH, up, "v0.1.0", &["/livez", "/readyz"]);
        let expected = "\nazure-kms-provider statusz\nWarning: This endpoint is not meant to be machine parseable, has \
                        no formatting compatibility guarantees and is for debugging purposes only.\nStarted: Thu Jan  \
                        1 00:00:00 UTC 1970\nUp: 3 hr 05 min 09 sec\nBinary version: v0.1.0\nPaths: /livez /readyz\n";
        assert_eq!(page, expected);
    }

    #[test]
    fn flagz_has_a_line_for_each_flag_below_the_same_head() {
        let page = flag_page(&[("key-name".into(), "k8s".into()), ("v".into(), "0".into())]);
        assert!(page.starts_with("\nazure-kms-provider flagz\nWarning: "), "{page}");
        assert!(page.ends_with("debugging purposes only.\nkey-name=k8s\nv=0\n"), "{page}");
    }
}
