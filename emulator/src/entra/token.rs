//! The token endpoints, v1 and v2, with the client credentials grant (RFC 6749, section 4.4).

use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use serde_json::json;

use super::authority::Authority;
use super::client_identity::ClientIdentity;
use super::credentials;
use super::error::EntraError;
use super::form::{self, Fields};
use crate::response;
use crate::state::State;
use crate::stats::CredentialKind;

/// A version of the token endpoint.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Endpoint {
    /// `/oauth2/token`: takes a `resource`, and responds with strings.
    V1,
    /// `/oauth2/v2.0/token`: takes a `scope`, and responds with numbers.
    V2,
}

/// Responds with a token, or with the error.
pub(super) async fn token(
    state: &State,
    authority: Authority,
    tenant: &str,
    request: Request<Body>,
    endpoint: Endpoint,
) -> Response<Body> {
    let result = match form::read(request).await {
        Ok(fields) => grant(state, authority, tenant, &fields, endpoint),
        Err(error) => Err(error),
    };
    result.unwrap_or_else(|error| error.response(authority.host()))
}

/// Authenticates the client and issues the token.
///
/// # Errors
/// The client is not authenticated, the resource is missing or one of another cloud, or the token cannot be signed.
fn grant(
    state: &State,
    authority: Authority,
    tenant: &str,
    fields: &Fields,
    endpoint: Endpoint,
) -> Result<Response<Body>, EntraError> {
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let client = ClientIdentity { authority, tenant, client_id: field("client_id") };
    let credential = credentials::check(state, client, fields)?;
    let audience = audience(endpoint, field("scope"), field("resource"))?;
    if !authority.may_know(&audience) {
        let text =
            format!("The resource principal named {audience} was not found in the tenant named {tenant}.");
        return Err(EntraError::new(400, "invalid_resource", 500_011, text));
    }
    issue(state, credential, endpoint, &audience)
}

/// Returns the audience of the token: the `resource` (v1), or the one of the `scope` (v2).
///
/// # Errors
/// The endpoint's own field does not name an https URL.
fn audience(endpoint: Endpoint, scope: &str, resource: &str) -> Result<String, EntraError> {
    let audience = match endpoint {
        Endpoint::V1 => Some(resource),
        Endpoint::V2 => scope.split(' ').find_map(|scope| scope.strip_suffix("/.default")),
    };
    let audience = audience.filter(|audience| audience.starts_with("https://")).map(str::to_owned);
    let invalid =
        || EntraError::new(400, "invalid_scope", 70_011, "The provided scope or resource is not valid.");
    audience.ok_or_else(invalid)
}

/// Issues the token.
///
/// # Errors
/// It cannot be signed.
fn issue(
    state: &State,
    credential: CredentialKind,
    endpoint: Endpoint,
    audience: &str,
) -> Result<Response<Body>, EntraError> {
    let issued = state.tokens.issue(&state.directory.client_id, audience, credential);
    let issued = issued.map_err(|error| EntraError::new(500, "server_error", 90_033, error.0))?;
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
    Ok(response::json(200, &body))
}
