//! IMDS: tokens for managed identities, every value a string.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, Request};
use axum::http::Response;
use axum::http::request::Parts;
use serde_json::json;

use crate::fault_injection::play;
use crate::faults::Service;
use crate::ids::object_id;
use crate::reply;
use crate::server::Answer;
use crate::state::State;
use crate::stats::Credential;

const PATH: &str = "/metadata/identity/oauth2/token";

/// Answers one request to IMDS.
pub(crate) async fn handle(state: Arc<State>, request: Request<Body>) -> Answer {
    let (request, _) = request.into_parts();
    play(&state, Service::Imds, failed, async { serve(&state, &request) }).await
}

/// What it says with that status.
fn failed(status: u16) -> Response<Body> {
    let (error, description) = match status {
        401 => ("unknown_source", "Unknown Source"),
        403 => ("access_denied", "The resource owner or authorization server denied the request"),
        404 | 410 => ("not_found", "IMDS is updating"),
        429 => ("too_many_requests", "Too many requests"),
        500.. => ("unknown", "Failed to retrieve token from the Active directory"),
        _ => ("invalid_request", "Identity not found"),
    };
    refusal(status, error, description)
}

fn serve(state: &State, request: &Parts) -> Response<Body> {
    let headers = &request.headers;
    let marked = headers.get("metadata").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    if !marked || headers.contains_key("x-forwarded-for") {
        return refusal(400, "bad_request_102", "Required metadata header not specified");
    }
    if request.uri.path() != PATH {
        return refusal(404, "not_found", "Not found");
    }
    let Ok(Query(query)) = Query::<HashMap<String, String>>::try_from_uri(&request.uri) else {
        return refusal(400, "invalid_request", "The query is not valid");
    };
    if query.get("api-version").is_none_or(|version| version.as_str() < "2018-02-01") {
        return refusal(
            400,
            "invalid_request",
            "Required query variable 'api-version' is missing or too old",
        );
    }
    let Some(resource) = query.get("resource").filter(|resource| !resource.is_empty()) else {
        return refusal(400, "invalid_request", "Required query variable 'resource' is missing");
    };
    match identity(state, &query) {
        Some(client_id) => issue(state, &client_id, resource),
        None => refusal(400, "invalid_request", "Identity not found"),
    }
}

/// The client id of the identity that is asked for; without a wish, of the machine's own.
fn identity(state: &State, query: &HashMap<String, String>) -> Option<String> {
    let directory = &state.directory;
    let [own, user] = [&directory.system_assigned_client_id, &directory.user_assigned_client_id];
    let wish = ["client_id", "object_id", "msi_res_id", "mi_res_id"]
        .into_iter()
        .find_map(|name| Some((name, query.get(name)?)));
    let chosen = match wish {
        None => Some(own),
        Some(("client_id", id)) => [own, user].into_iter().find(|known| known.eq_ignore_ascii_case(id)),
        Some(("object_id", id)) => {
            [own, user].into_iter().find(|known| object_id(known).eq_ignore_ascii_case(id))
        }
        Some((_, id)) => id.eq_ignore_ascii_case(&directory.user_assigned_resource_id).then_some(user),
    };
    chosen.cloned()
}

fn issue(state: &State, client_id: &str, resource: &str) -> Response<Body> {
    let Ok(issued) = state.tokens.issue(client_id, resource, Credential::Identity) else {
        return refusal(500, "unknown", "No token could be signed");
    };
    state.stats.token_issued(Credential::Identity);
    let seconds = issued.expires_in().to_string();
    reply::json(
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

fn refusal(status: u16, error: &str, description: &str) -> Response<Body> {
    reply::json(status, &json!({ "error": error, "error_description": description }))
}
