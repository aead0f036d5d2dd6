//! Entra ID: the v1 and v2 token endpoints, and the documents that MSAL asks for first.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Form, FromRequest, Request};
use axum::http::{HeaderValue, Response, header};
use serde_json::json;

use crate::faults::{BodyFault, Fate, FaultSet, Service};
use crate::info::AUTHORITY_HOST;
use crate::reply;
use crate::server::{Answer, Reset};
use crate::tokens::AUDIENCE;
use crate::world::{World, random_guid};

/// Answers one request to `login.microsoftonline.com`.
pub(crate) async fn handle(world: &Arc<World>, request: Request<Body>) -> Answer {
    let mut response = match world.faults.fate(Service::Entra).await {
        Fate::Reset => return Err(Reset),
        Fate::Throttle(retry_after) => {
            world.stats.throttled();
            let mut response = refusal(429, "temporarily_unavailable", 90033, "Too many requests.");
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            response
        }
        Fate::Fail(status) => {
            refusal(status, "temporarily_unavailable", 90033, "A transient error was asked for.")
        }
        Fate::Serve => spoiled(&world.faults.of(Service::Entra), serve(world, request).await).await,
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-cache"));
    Ok(response)
}

/// The fault of the body, on successes only.
pub(crate) async fn spoiled(faults: &FaultSet, response: Response<Body>) -> Response<Body> {
    let Some(fault) = faults.body.filter(|_| response.status().is_success()) else { return response };
    let body = reply::body(response.into_body()).await.unwrap_or_default();
    match fault {
        BodyFault::Html => reply::text(200, "text/html", "<html><body>sign in</body></html>".into()),
        BodyFault::Truncated => {
            let half = String::from_utf8_lossy(&body[..body.len() / 2]).into_owned();
            reply::text(200, "application/json; charset=utf-8", half)
        }
    }
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
        _ => reply::text(404, "text/html", "<html><body>404</body></html>".into()),
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
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "tenant_region_scope": "EU",
        "cloud_instance_name": "microsoftonline.com",
    });
    reply::json(200, &body)
}

#[derive(Clone, Copy, PartialEq)]
enum Endpoint {
    V1,
    V2,
}

async fn token(
    world: &Arc<World>,
    tenant: &str,
    request: Request<Body>,
    endpoint: Endpoint,
) -> Response<Body> {
    let Ok(Form(form)) = Form::<HashMap<String, String>>::from_request(request, &()).await else {
        return refusal(400, "invalid_request", 900_144, "The request body must be a form.");
    };
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let directory = &world.directory;
    if !tenant.eq_ignore_ascii_case(&directory.tenant_id) {
        return refusal(400, "invalid_request", 90002, "Tenant not found.");
    }
    if field("grant_type") != "client_credentials" {
        return refusal(400, "unsupported_grant_type", 70003, "The grant type is not supported.");
    }
    if field("client_id") != directory.client_id {
        return refusal(400, "unauthorized_client", 700_016, "Application was not found in the directory.");
    }
    if field("client_secret") != directory.client_secret {
        return refusal(401, "invalid_client", 7_000_215, "Invalid client secret is provided.");
    }
    match audience(endpoint, field("scope"), field("resource")) {
        Some(audience) => issue(world, endpoint, audience),
        None => refusal(400, "invalid_scope", 70011, "The provided scope or resource is not valid."),
    }
}

/// What the token is for; `None` when the request does not say it in the endpoint's own way.
fn audience(endpoint: Endpoint, scope: &str, resource: &str) -> Option<String> {
    let audience = match endpoint {
        Endpoint::V1 => resource,
        Endpoint::V2 => scope.split(' ').find_map(|scope| scope.strip_suffix("/.default"))?,
    };
    audience.starts_with("https://").then(|| audience.to_owned())
}

fn issue(world: &World, endpoint: Endpoint, audience: String) -> Response<Body> {
    let Ok(issued) = world.tokens.issue(&world.directory.client_id, &audience) else {
        return refusal(500, "server_error", 90033, "No token could be signed.");
    };
    world.stats.token_issued();
    let seconds = issued.expires_in();
    let body = match endpoint {
        Endpoint::V2 => json!({
            "token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": issued.token,
        }),
        Endpoint::V1 => json!({
            "token_type": "Bearer", "expires_in": seconds.to_string(), "ext_expires_in": seconds.to_string(),
            "expires_on": issued.expires_on.to_string(), "not_before": issued.not_before.to_string(),
            "resource": AUDIENCE, "access_token": issued.token,
        }),
    };
    reply::json(200, &body)
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
