//! Entra ID: the v1 and v2 token endpoints, and the documents that MSAL asks for first.

mod token;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Response, header};
use serde_json::json;

use crate::faults::Service;
use crate::ids::random_guid;
use crate::info::AUTHORITY_HOST;
use crate::misbehave::play;
use crate::reply;
use crate::server::Answer;
use crate::world::World;
use token::{Endpoint, token};

/// Answers one request to `login.microsoftonline.com`.
pub(crate) async fn handle(world: &Arc<World>, request: Request<Body>) -> Answer {
    let mut response = play(world, Service::Entra, failed, serve(world, request)).await?;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-cache"));
    Ok(response)
}

async fn serve(world: &Arc<World>, request: Request<Body>) -> Response<Body> {
    let path = request.uri().path().to_ascii_lowercase();
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match segments.as_slice() {
        ["common", "discovery", "instance"] => instances(world),
        [tenant, "v2.0", ".well-known", "openid-configuration"] => configuration(tenant),
        [_, "discovery", "v2.0", "keys"] => reply::json(200, &world.tokens.jwks()),
        [tenant, "oauth2", "v2.0", "token"] => token(world, tenant, request, Endpoint::V2).await,
        [tenant, "oauth2", "token"] => token(world, tenant, request, Endpoint::V1).await,
        _ => reply::page(404, "404"),
    }
}

fn instances(world: &World) -> Response<Body> {
    let tenant = &world.directory.tenant_id;
    let aliases = [AUTHORITY_HOST, "login.windows.net", "login.microsoft.com", "sts.windows.net"];
    let metadata = json!({ "preferred_network": AUTHORITY_HOST, "preferred_cache": "login.windows.net", "aliases": aliases });
    let endpoint = format!("https://{AUTHORITY_HOST}/{tenant}/v2.0/.well-known/openid-configuration");
    let body = json!({ "tenant_discovery_endpoint": endpoint, "api-version": "1.1", "metadata": [metadata] });
    reply::json(200, &body)
}

fn configuration(tenant: &str) -> Response<Body> {
    let base = format!("https://{AUTHORITY_HOST}/{tenant}");
    let body = json!({
        "token_endpoint": format!("{base}/oauth2/v2.0/token"),
        "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
        "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
        "jwks_uri": format!("{base}/discovery/v2.0/keys"),
        "issuer": format!("{base}/v2.0"),
        "response_types_supported": ["code"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "tenant_region_scope": "EU",
        "cloud_instance_name": "microsoftonline.com",
    });
    reply::json(200, &body)
}

/// What it says with that status.
fn failed(status: u16) -> Response<Body> {
    match status {
        401 => refusal(
            status,
            "invalid_client",
            7_000_222,
            "The provided client secret keys for the app are expired.",
        ),
        403 => refusal(status, "unauthorized_client", 700_016, "Application was not found in the directory."),
        429 => refusal(status, "temporarily_unavailable", 90033, "Too many requests."),
        500.. => refusal(status, "temporarily_unavailable", 90033, "A transient error has occurred."),
        _ => refusal(status, "invalid_request", 900_023, "The specified tenant identifier is not valid."),
    }
}

/// An error in the shape of Entra ID, line breaks included.
fn refusal(status: u16, error: &str, code: u64, text: &str) -> Response<Body> {
    let (trace, correlation) = (random_guid().unwrap_or_default(), random_guid().unwrap_or_default());
    let time = chrono::Utc::now().format("%Y-%m-%d %H:%M:%SZ").to_string();
    let description = format!(
        "AADSTS{code}: {text}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {time}"
    );
    let body = json!({
        "error": error,
        "error_description": description,
        "error_codes": [code],
        "timestamp": time,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": format!("https://{AUTHORITY_HOST}/error?code={code}"),
    });
    reply::json(status, &body)
}
