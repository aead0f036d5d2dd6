//! The two token endpoints: client credentials by form or by HTTP Basic (RFC 6749, section 2.3.1).

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::{Form, FromRequest, Query, Request};
use axum::http::{HeaderMap, Response, Uri, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::assertion::Asking;
use super::authority::Authority;
use super::credentials;
use super::refusal::Refusal;
use crate::reply;
use crate::state::State;
use crate::stats::Credential;

/// What the form says.
pub(super) type Fields = HashMap<String, String>;

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Endpoint {
    V1,
    V2,
}

/// Answers with a token, or with why there is none.
pub(super) async fn token(
    state: &State,
    authority: Authority,
    tenant: &str,
    request: Request<Body>,
    endpoint: Endpoint,
) -> Response<Body> {
    let by_header = basic(request.headers()).unwrap_or_default();
    let answer = match Form::<Fields>::from_request(request, &()).await {
        Ok(Form(mut fields)) => {
            fields.extend(by_header);
            grant(state, authority, tenant, &fields, endpoint)
        }
        Err(_) => Err(Refusal::request(900_144, "The request body must be a form.")),
    };
    answer.unwrap_or_else(|refusal| refusal.response(authority.host()))
}

fn grant(
    state: &State,
    authority: Authority,
    tenant: &str,
    fields: &Fields,
    endpoint: Endpoint,
) -> Result<Response<Body>, Refusal> {
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let asking = Asking { authority, tenant, client_id: field("client_id") };
    let credential = credentials::check(state, asking, fields)?;
    let audience = audience(endpoint, field("scope"), field("resource"))?;
    if !authority.may_know(&audience) {
        let text =
            format!("The resource principal named {audience} was not found in the tenant named {tenant}.");
        return Err(Refusal::new(400, "invalid_resource", 500_011, text));
    }
    issue(state, credential, endpoint, &audience)
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

/// What the token is for.
///
/// # Errors
/// The request does not say it in the endpoint's own way.
fn audience(endpoint: Endpoint, scope: &str, resource: &str) -> Result<String, Refusal> {
    let audience = match endpoint {
        Endpoint::V1 => Some(resource),
        Endpoint::V2 => scope.split(' ').find_map(|scope| scope.strip_suffix("/.default")),
    };
    let audience = audience.filter(|audience| audience.starts_with("https://")).map(str::to_owned);
    let refusal =
        || Refusal::new(400, "invalid_scope", 70_011, "The provided scope or resource is not valid.");
    audience.ok_or_else(refusal)
}

fn issue(
    state: &State,
    credential: Credential,
    endpoint: Endpoint,
    audience: &str,
) -> Result<Response<Body>, Refusal> {
    let issued = state.tokens.issue(&state.directory.client_id, audience, credential);
    let issued = issued.map_err(|error| Refusal::new(500, "server_error", 90_033, error.0))?;
    state.stats.token_issued(credential);
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
    Ok(reply::json(200, &body))
}
