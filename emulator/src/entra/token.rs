//! The two token endpoints: client credentials by form or by HTTP Basic (RFC 6749, section 2.3.1).

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::{Form, FromRequest, Query, Request};
use axum::http::{HeaderMap, Response, Uri, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::refusal;
use crate::reply;
use crate::world::World;

type Fields = HashMap<String, String>;

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Endpoint {
    V1,
    V2,
}

pub(super) async fn token(
    world: &World,
    tenant: &str,
    request: Request<Body>,
    endpoint: Endpoint,
) -> Response<Body> {
    let by_header = basic(request.headers()).unwrap_or_default();
    let Ok(Form(mut fields)) = Form::<Fields>::from_request(request, &()).await else {
        return refusal(400, "invalid_request", 900_144, "The request body must be a form.");
    };
    fields.extend(by_header);
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    if let Some(refusal) = refuse(world, tenant, field) {
        return refusal;
    }
    match audience(endpoint, field("scope"), field("resource")) {
        Some(audience) => issue(world, endpoint, &audience),
        None => refusal(400, "invalid_scope", 70011, "The provided scope or resource is not valid."),
    }
}

/// The client's id and secret. Both are encoded as in a form, so they are read as one.
fn basic(headers: &HeaderMap) -> Option<Fields> {
    let header = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = header.split_once(' ')?;
    let credentials = STANDARD.decode(encoded).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let credentials = String::from_utf8(credentials).ok()?;
    let (id, secret) = credentials.split_once(':')?;
    let form: Uri = format!("/?client_id={id}&client_secret={secret}").parse().ok()?;
    Query::try_from_uri(&form).ok().map(|Query(fields)| fields)
}

fn refuse<'a>(world: &World, tenant: &str, field: impl Fn(&str) -> &'a str) -> Option<Response<Body>> {
    let directory = &world.directory;
    let (status, error, code, text) = if !tenant.eq_ignore_ascii_case(&directory.tenant_id) {
        (400, "invalid_request", 90002, "Tenant not found.")
    } else if field("grant_type") != "client_credentials" {
        (400, "unsupported_grant_type", 70003, "The grant type is not supported.")
    } else if field("client_id") != directory.client_id {
        (400, "unauthorized_client", 700_016, "Application was not found in the directory.")
    } else if field("client_secret") != directory.client_secret {
        (401, "invalid_client", 7_000_215, "Invalid client secret is provided.")
    } else {
        return None;
    };
    Some(refusal(status, error, code, text))
}

/// What the token is for; `None` when the request does not say it in the endpoint's own way.
fn audience(endpoint: Endpoint, scope: &str, resource: &str) -> Option<String> {
    let audience = match endpoint {
        Endpoint::V1 => resource,
        Endpoint::V2 => scope.split(' ').find_map(|scope| scope.strip_suffix("/.default"))?,
    };
    audience.starts_with("https://").then(|| audience.to_owned())
}

fn issue(world: &World, endpoint: Endpoint, audience: &str) -> Response<Body> {
    let Ok(issued) = world.tokens.issue(&world.directory.client_id, audience) else {
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
            "resource": audience, "access_token": issued.token,
        }),
    };
    reply::json(200, &body)
}
