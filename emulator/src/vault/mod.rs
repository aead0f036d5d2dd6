//! Key Vault: the checks in the order of the real service, which is token, permission, body, key.

mod auth;
mod bundle;
mod crypto;
mod dispatch;
mod errors;
mod headers;
mod host;
mod lists;
mod query;
mod request;
mod route;

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{Method, Response};
use serde_json::Value;

use crate::fault_injection;
use crate::faults::Service;
use crate::response::{self, VaultError};
use crate::server::HandlerResult;
use crate::state::State;
use crate::stats::RecordedResponse;
use crate::tokens::Claims;
pub(crate) use host::VaultHost;
use query::Query;
use request::RequestContext;
use route::{Route, key_of};

/// Handles one request to that vault.
///
/// # Errors
/// The faults in force reset the connection.
pub(crate) async fn handle(state: &State, vault: VaultHost, request: Request<Body>) -> HandlerResult {
    let client_request_id = headers::client_request_id(&request);
    let (parts, body) = request.into_parts();
    let body = response::read_body(body).await; // also of refused requests: HTTP/1.1 would close the connection else
    let fail = |status| error_with_status(state, vault, &parts, status);
    let served = serve(state, vault, &parts, body);
    let mut response = fault_injection::handle(state, Service::Vault, fail, served).await?;
    headers::add(&mut response, vault, client_request_id);
    record(state, &parts, &response);
    Ok(response)
}

/// Records the response, so that a client's log can be compared with it.
fn record(state: &State, request: &Parts, response: &Response<Body>) {
    if let Some(route) = Route::parse(&request.method, request.uri.path()) {
        let request_id = headers::request_id(response).to_owned();
        let (operation, status) = (route.operation().to_owned(), response.status().as_u16());
        state.stats.record(RecordedResponse { operation, status, request_id });
    }
}

/// Returns the vault's error with that status.
fn error_with_status(state: &State, vault: VaultHost, request: &Parts, status: u16) -> Response<Body> {
    match status {
        401 => auth::unauthorized(state, vault, auth::message_of_401(&request.headers)),
        _ => errors::with_status(status, key_of(request.uri.path())).response(),
    }
}

/// Responds without faults.
async fn serve(state: &State, vault: VaultHost, request: &Parts, body: Option<Vec<u8>>) -> Response<Body> {
    let claims = match auth::authenticate(state, vault, &request.headers) {
        Ok(claims) => claims,
        Err(message) => return auth::unauthorized(state, vault, &message),
    };
    let Some(route) = Route::parse(&request.method, request.uri.path()) else {
        return unknown_route(&request.method);
    };
    state.stats.call(&claims.appid, route.operation());
    let query = request.uri.query().unwrap_or_default();
    match perform_if_permitted(state, vault, &claims, route, query, body) {
        Ok(value) => response::json(200, &value),
        Err(error) => error.response(),
    }
}

/// Checks API version, permission and size of the body, then performs the operation.
///
/// # Errors
/// Key Vault's error: one of the three is wrong, or the operation fails.
fn perform_if_permitted(
    state: &State,
    vault: VaultHost,
    claims: &Claims,
    route: Route,
    query: &str,
    body: Option<Vec<u8>>,
) -> Result<Value, VaultError> {
    let context = RequestContext { state, vault, query: Query::parse(query)? };
    if !state.may(&claims.appid, route.operation()) {
        let model = state.permission_model();
        return Err(errors::not_permitted(model, vault, claims, route.operation(), route.key()));
    }
    let body = body.ok_or_else(|| VaultError::bad_parameter("The request body is too large."))?;
    dispatch::perform(context, route, &body)
}

/// Returns the error for a method and path of no operation.
fn unknown_route(method: &Method) -> Response<Body> {
    match *method {
        Method::GET | Method::POST | Method::PATCH => {
            response::page(404, "404 - File or directory not found.")
        }
        _ => VaultError::new(405, "MethodNotAllowed", "The emulator does not play this method.").response(),
    }
}
