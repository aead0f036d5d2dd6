//! Key Vault: the checks in the order of the real service: token, right, body, key.

mod asked;
mod auth;
mod bundle;
mod crypto;
mod headers;
mod lists;
mod operations;
mod query;
mod refusals;
mod route;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{Method, Response, Version, header};
use serde_json::Value;

use crate::clouds::Cloud;
use crate::entra::{self, Authority};
use crate::fault_injection::play;
use crate::faults::Service;
use crate::reply::{self, VaultError};
use crate::server::Answer;
use crate::state::State;
use crate::stats::Answered;
use crate::tokens::Claims;
pub(crate) use asked::Asked;
use operations::Ask;
use query::Query;
use route::{Call, key_of};

/// The region that the vault says it is in.
const REGION: &str = "westeurope";

/// Everything behind TLS: chosen by the request's host.
pub(crate) async fn front(state: Arc<State>, request: Request<Body>) -> Answer {
    if request.version() == Version::HTTP_2 {
        state.stats.http2_request();
    }
    let host = host(&request).to_ascii_lowercase();
    if let Some(vault) = Asked::by_host(&host) {
        if let Some(connection) = request.extensions().get() {
            state.hung_connections.unless_hung(*connection).await;
        }
        return handle(&state, vault, request).await;
    }
    match Cloud::of_authority(&host) {
        Some(cloud) => entra::handle(&state, Authority::of(cloud), request).await,
        None => Ok(reply::text(404, "text/plain", format!("the emulator does not play {host}\n"))),
    }
}

fn host(request: &Request<Body>) -> &str {
    let header = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = header.or_else(|| request.uri().host()).unwrap_or_default();
    host.split(':').next().unwrap_or_default()
}

/// Answers one request to that vault.
pub(crate) async fn handle(state: &State, vault: Asked, request: Request<Body>) -> Answer {
    let echo = headers::echo(&request);
    let (parts, body) = request.into_parts();
    let body = reply::body(body).await; // also of what is refused: HTTP/1.1 would close the connection else
    let fail = |status| failed(state, vault, &parts, status);
    let mut response = play(state, Service::Vault, fail, serve(state, vault, &parts, body)).await?;
    headers::add(&mut response, vault, echo);
    remember(state, &parts, &response);
    Ok(response)
}

/// So that a client's log can be held against what was answered.
fn remember(state: &State, request: &Parts, response: &Response<Body>) {
    if let Some(call) = Call::route(&request.method, request.uri.path()) {
        let request_id = headers::request_id(response).to_owned();
        let (operation, status) = (call.operation().to_owned(), response.status().as_u16());
        state.stats.answered(Answered { operation, status, request_id });
    }
}

/// What it says with that status.
fn failed(state: &State, vault: Asked, request: &Parts, status: u16) -> Response<Body> {
    match status {
        401 => auth::unauthorized(state, vault, auth::complaint(&request.headers)),
        _ => refusals::with_status(status, key_of(request.uri.path())).response(),
    }
}

async fn serve(state: &State, vault: Asked, request: &Parts, body: Option<Vec<u8>>) -> Response<Body> {
    let claims = match auth::authenticate(state, vault, &request.headers) {
        Ok(claims) => claims,
        Err(message) => return auth::unauthorized(state, vault, &message),
    };
    let Some(call) = Call::route(&request.method, request.uri.path()) else {
        return malformed_path(&request.method);
    };
    state.stats.call(&claims.appid, call.operation());
    let query = request.uri.query().unwrap_or_default();
    match dispatch(state, vault, &claims, call, query, body).await {
        Ok(value) => reply::json(200, &value),
        Err(error) => error.response(),
    }
}

async fn dispatch(
    state: &State,
    vault: Asked,
    claims: &Claims,
    call: Call,
    query: &str,
    body: Option<Vec<u8>>,
) -> Result<Value, VaultError> {
    let ask = Ask { state, vault, query: Query::read(query)? };
    if !state.may(&claims.appid, call.operation()) {
        let model = state.permission_model();
        return Err(refusals::not_permitted(model, vault, claims, call.operation(), call.key()));
    }
    let body = body.ok_or_else(|| VaultError::bad_parameter("The request body is too large."))?;
    ask.perform(call, &body)
}

fn malformed_path(method: &Method) -> Response<Body> {
    match *method {
        Method::GET | Method::POST | Method::PATCH => reply::page(404, "404 - File or directory not found."),
        _ => VaultError::new(405, "MethodNotAllowed", "The emulator does not play this method.").response(),
    }
}
