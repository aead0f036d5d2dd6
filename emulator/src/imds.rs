//! IMDS: access tokens for managed identities. Every value of the JSON is a string, as with the real service.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, Request};
use axum::http::Response;
use axum::http::request::Parts;
use serde_json::json;

use crate::fault_injection;
use crate::faults::Service;
use crate::ids::object_id;
use crate::response;
use crate::server::HandlerResult;
use crate::state::State;
use crate::stats::CredentialKind;

/// The path of the token endpoint.
const PATH: &str = "/metadata/identity/oauth2/token";

/// Handles one request to IMDS.
///
/// # Errors
/// The faults in force reset the connection.
pub(crate) async fn handle(state: Arc<State>, request: Request<Body>) -> HandlerResult {
    let (request, _) = request.into_parts();
    fault_injection::handle(&state, Service::Imds, failed, async { serve(&state, &request) }).await
}

/// Returns IMDS's error with that status.
fn failed(status: u16) -> Response<Body> {
    let (error, description) = match status {
        401 => ("unknown_source", "Unknown Source"),
        403 => ("access_denied", "The resource owner or authorization server denied the request"),
        404 | 410 => ("not_found", "IMDS is updating"),
        429 => ("too_many_requests", "Too many requests"),
        500.. => ("unknown", "Failed to retrieve token from the Active directory"),
        _ => ("invalid_request", "Identity not found"),
    };
    error_response(status, error, description)
}

/// Responds without faults.
fn serve(state: &State, request: &Parts) -> Response<Body> {
    let headers = &request.headers;
    let has_header =
        headers.get("metadata").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    if !has_header || headers.contains_key("x-forwarded-for") {
        return error_response(400, "bad_request_102", "Required metadata header not specified");
    }
    if request.uri.path() != PATH {
        return error_response(404, "not_found", "Not found");
    }
    let Ok(Query(query)) = Query::<HashMap<String, String>>::try_from_uri(&request.uri) else {
        return error_response(400, "invalid_request", "The query is not valid");
    };
    if query.get("api-version").is_none_or(|version| version.as_str() < "2018-02-01") {
        return error_response(
            400,
            "invalid_request",
            "Required query variable 'api-version' is missing or too old",
        );
    }
    let Some(resource) = query.get("resource").filter(|resource| !resource.is_empty()) else {
        return error_response(400, "invalid_request", "Required query variable 'resource' is missing");
    };
    match identity(state, &query) {
        Some(client_id) => issue(state, &client_id, resource),
        None => error_response(400, "invalid_request", "Identity not found"),
    }
}

/// Returns the client id of the identity that the query selects: without a selector, the system-assigned one.
fn identity(state: &State, query: &HashMap<String, String>) -> Option<String> {
    let directory = &state.directory;
    let [system, user] = [&directory.system_assigned_client_id, &directory.user_assigned_client_id];
    let selector = ["client_id", "object_id", "msi_res_id", "mi_res_id"]
        .into_iter()
        .find_map(|name| Some((name, query.get(name)?)));
    let chosen = match selector {
        None => Some(system),
        Some(("client_id", id)) => [system, user].into_iter().find(|known| known.eq_ignore_ascii_case(id)),
        Some(("object_id", id)) => {
            [system, user].into_iter().find(|known| object_id(known).eq_ignore_ascii_case(id))
        }
        Some((_, id)) => id.eq_ignore_ascii_case(&directory.user_assigned_resource_id).then_some(user),
    };
    chosen.cloned()
}

/// Issues a token for that resource.
fn issue(state: &State, client_id: &str, resource: &str) -> Response<Body> {
    let Ok(issued) = state.tokens.issue(client_id, resource, CredentialKind::ManagedIdentity) else {
        return error_response(500, "unknown", "No token could be signed");
    };
    state.stats.token_issued(CredentialKind::ManagedIdentity);
    let seconds = issued.expires_in().to_string();
    response::json(
        200,
        &json!({
            "access_token": issued.token,
            "client_id": client_id,
            "expires_in": seconds,
            "expires_on": issued.expires_on.to_string(),
            "ext_expires_in": seconds,
            "not_before": issued.not_before.to_string(),
            "resource": resource,
            "token_type": "Bearer",
        }),
    )
}

fn error_response(status: u16, error: &str, description: &str) -> Response<Body> {
    response::json(status, &json!({ "error": error, "error_description": description }))
}
