//! IMDS: tokens for managed identities, every value a string.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, Request};
use axum::http::Response;
use serde_json::json;

use crate::entra::spoiled;
use crate::faults::{Fate, Service};
use crate::reply;
use crate::server::{Answer, Reset};
use crate::world::World;

const PATH: &str = "/metadata/identity/oauth2/token";

/// Answers one request to IMDS.
pub(crate) async fn handle(world: Arc<World>, request: Request<Body>) -> Answer {
    match world.faults.fate(Service::Imds).await {
        Fate::Reset => Err(Reset),
        Fate::Throttle(_) => {
            world.stats.throttled();
            Ok(refusal(429, "too_many_requests", "Too many requests"))
        }
        Fate::Fail(status) => Ok(refusal(status, "unknown", "An error was asked for")),
        Fate::Serve => Ok(spoiled(&world.faults.of(Service::Imds), serve(&world, &request)).await),
    }
}

fn serve(world: &World, request: &Request<Body>) -> Response<Body> {
    let headers = request.headers();
    let marked = headers.get("metadata").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    if !marked || headers.contains_key("x-forwarded-for") {
        return refusal(400, "bad_request_102", "Required metadata header not specified");
    }
    if request.uri().path() != PATH {
        return refusal(404, "not_found", "Not found");
    }
    let Ok(Query(query)) = Query::<HashMap<String, String>>::try_from_uri(request.uri()) else {
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
    match identity(world, &query) {
        Some(client_id) => issue(world, &client_id, resource),
        None => refusal(400, "invalid_request", "Identity not found"),
    }
}

/// The client id of the identity that is asked for.
fn identity(world: &World, query: &HashMap<String, String>) -> Option<String> {
    let directory = &world.directory;
    let user_assigned = directory.user_assigned_client_id.clone();
    if let Some(id) = query.get("client_id") {
        return [&user_assigned, &directory.system_assigned_client_id]
            .into_iter()
            .find(|known| *known == id)
            .cloned();
    }
    if let Some(id) = query.get("msi_res_id").or_else(|| query.get("mi_res_id")) {
        return id.eq_ignore_ascii_case(&directory.user_assigned_resource_id).then_some(user_assigned);
    }
    if query.contains_key("object_id") {
        return None;
    }
    Some(directory.system_assigned_client_id.clone())
}

fn issue(world: &World, client_id: &str, resource: &str) -> Response<Body> {
    let Ok(issued) = world.tokens.issue(client_id, resource) else {
        return refusal(500, "unknown", "No token could be signed");
    };
    world.stats.token_issued();
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
