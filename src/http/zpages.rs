//! Kubernetes' z-pages `/statusz` and `/flagz`: plain text, or a Kubernetes object if the Accept header names one.
//! `/statusz?format=json` is for our own command `status`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::accept::{CURRENT_VERSION, GROUP, Representation, negotiate};
use super::router::plain;
use super::snapshot::{Snapshot, Snapshots};

const COMPONENT: &str = "azure-kms-provider";
/// The kinds of the objects.
const STATUSZ: &str = "Statusz";
const FLAGZ: &str = "Flagz";
const WARNING: &str = "Warning: This endpoint is not meant to be machine parseable, has no formatting \
                       compatibility guarantees and is for debugging purposes only.";
/// The headers of a response in JSON, which must not be cached.
const JSON: [(header::HeaderName, &str); 2] =
    [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];

/// The sources of the pages.
#[derive(Clone)]
pub(crate) struct ZPages {
    /// The snapshots of the daemon.
    pub snapshots: Snapshots,
    /// Every flag and its value, without secrets.
    pub flags: Arc<Vec<(String, String)>>,
    /// The path of healthz.
    pub healthz: String,
}

/// Returns the routes of `/statusz` and `/flagz`.
pub(crate) fn zpage_routes(pages: ZPages) -> Router {
    Router::new().route("/statusz", get(statusz)).route("/flagz", get(flagz)).with_state(pages)
}

async fn statusz(State(pages): State<ZPages>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let snapshot = pages.snapshots.take();
    if query.is_some_and(|query| query.split('&').any(|pair| pair == "format=json")) {
        let json = serde_json::to_string(&snapshot).unwrap_or_default(); // strings and numbers do not fail
        return (JSON, json).into_response();
    }
    let paths = [pages.healthz.as_str(), "/livez", "/readyz", "/statusz", "/flagz"];
    match negotiate(&headers, STATUSZ) {
        Some(Representation::Text) => plain(
            StatusCode::OK,
            status_page(snapshot.started, snapshot.uptime_seconds, &snapshot.version, &paths),
        ),
        Some(Representation::Object(version)) => object(STATUSZ, version, status_object(&snapshot, paths)),
        None => not_acceptable(STATUSZ),
    }
}

async fn flagz(State(pages): State<ZPages>, headers: HeaderMap) -> Response {
    match negotiate(&headers, FLAGZ) {
        Some(Representation::Text) => plain(StatusCode::OK, flag_page(&pages.flags)),
        Some(Representation::Object(version)) => object(FLAGZ, version, flag_object(&pages.flags)),
        None => not_acceptable(FLAGZ),
    }
}

/// Returns a response with a Kubernetes object. One of the deprecated version has the warning of Kubernetes.
fn object(kind: &str, version: &str, fields: Value) -> Response {
    let mut object = json!({
        "kind": kind, "apiVersion": format!("{GROUP}/{version}"), "metadata": { "name": COMPONENT }
    });
    if let (Value::Object(object), Value::Object(fields)) = (&mut object, fields) {
        object.extend(fields);
    }
    let page = kind.to_lowercase();
    let deprecated =
        format!("299 - \"This version of the {page} endpoint is deprecated. Please use a newer version.\"");
    let warning = (version != CURRENT_VERSION).then_some([(header::WARNING, deprecated)]);
    (JSON, warning.map(AppendHeaders), object.to_string()).into_response()
}

fn status_object(snapshot: &Snapshot, mut paths: [&str; 5]) -> Value {
    paths.sort_unstable();
    json!({
        "startTime": snapshot.started.to_rfc3339_opts(SecondsFormat::Secs, true),
        "uptimeSeconds": snapshot.uptime_seconds,
        "binaryVersion": snapshot.version,
        "paths": paths,
    })
}

fn flag_object(flags: &[(String, String)]) -> Value {
    let flags: serde_json::Map<_, _> =
        flags.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    json!({ "flags": flags })
}

/// Returns the failure as a Kubernetes Status object.
fn not_acceptable(kind: &str) -> Response {
    let accepted = format!("text/plain, application/json;v={CURRENT_VERSION};g={GROUP};as={kind}");
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": format!("only the following media types are accepted: {accepted}"),
        "reason": "NotAcceptable",
        "code": StatusCode::NOT_ACCEPTABLE.as_u16(),
    });
    (StatusCode::NOT_ACCEPTABLE, JSON, status.to_string()).into_response()
}

fn heading(page: &str) -> String {
    format!("\n{COMPONENT} {page}\n{WARNING}\n")
}

fn status_page(started: DateTime<Utc>, uptime: u64, version: &str, paths: &[&str]) -> String {
    let (heading, started, paths) =
        (heading("statusz"), started.format("%a %b %e %H:%M:%S UTC %Y"), paths.join(" "));
    let (hours, minutes, seconds) = (uptime / 3600, uptime / 60 % 60, uptime % 60);
    format!(
        "{heading}Started: {started}\nUp: {hours} hr {minutes:02} min {seconds:02} sec\nBinary version: {version}\nPaths: \
         {paths}\n"
    )
}

fn flag_page(flags: &[(String, String)]) -> String {
    let lines = flags.iter().map(|(name, value)| format!("{name}={value}\n"));
    lines.fold(heading("flagz"), |page, line| page + &line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statusz_is_kubernetes_page() {
        let uptime = 3 * 3600 + 5 * 60 + 9;
        let page = status_page(DateTime::UNIX_EPOCH, uptime, "v0.1.0", &["/livez", "/readyz"]);
        let expected = "\nazure-kms-provider statusz\nWarning: This endpoint is not meant to be machine parseable, has \
                        no formatting compatibility guarantees and is for debugging purposes only.\nStarted: Thu Jan  \
                        1 00:00:00 UTC 1970\nUp: 3 hr 05 min 09 sec\nBinary version: v0.1.0\nPaths: /livez /readyz\n";
        assert_eq!(page, expected);
    }

    #[test]
    fn only_the_older_version_of_an_object_comes_with_a_warning() {
        let warning =
            |version| object(FLAGZ, version, flag_object(&[])).headers().get(header::WARNING).cloned();
        assert_eq!(warning(CURRENT_VERSION), None);
        assert!(
            warning("v1alpha1").unwrap().to_str().unwrap().starts_with("299 - \"This version of the flagz ")
        );
    }

    #[test]
    fn flagz_has_a_line_for_each_flag_below_the_same_head() {
        let page = flag_page(&[("key-name".into(), "k8s".into()), ("v".into(), "0".into())]);
        assert!(page.starts_with("\nazure-kms-provider flagz\nWarning: "), "{page}");
        assert!(page.ends_with("debugging purposes only.\nkey-name=k8s\nv=0\n"), "{page}");
    }
}
