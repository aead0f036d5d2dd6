//! The control API: JSON over plain HTTP, for tests and for people who try outages out.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::application::Application;
use crate::error::Error;
use crate::faults::Faults;
use crate::issuer::FederatedToken;
use crate::keys::{KeyChange, KeyPatch};
use crate::permissions::{self, PermissionModel};
use crate::response;
use crate::server::HandlerResult;
use crate::state::{Challenge, State};

/// The error text of a 404 for an unknown path.
const ROUTES: &str = "GET /stats, DELETE /stats, GET /answers, PUT /faults, GET /faults, DELETE /faults, POST /keys/{name}/rotate, \
                      PATCH /keys/{name}/{version}, PUT /application, \
                      POST /federated-token, PUT /permissions, PUT /permission-model, PUT /challenge, PUT /tokens, \
                      DELETE /tokens, PUT /clock, POST /connections/hang";

/// An error response: the HTTP status and the text.
type ControlError = (u16, String);

/// The body of `PUT /tokens`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenSettings {
    /// The lifetime of tokens issued from now on, in seconds.
    lifetime_s: u64,
}

/// The body of `PUT /challenge`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChallengeSettings {
    /// The form of the vaults' challenge.
    format: Challenge,
}

/// The body of `PUT /permission-model`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PermissionModelSettings {
    /// The permission model of the vaults.
    model: PermissionModel,
}

/// The body of `PUT /clock`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockSettings {
    /// The offset of every service's `Date` from this machine's clock, in seconds.
    offset_s: i32,
}

/// Handles one request to the control API.
///
/// # Errors
/// Never: faults are for the services only.
pub(crate) async fn handle(state: Arc<State>, request: Request<Body>) -> HandlerResult {
    let (parts, body) = request.into_parts();
    let Some(body) = response::read_body(body).await else {
        return Ok(respond(Err((413, "the body is larger than 1 MiB".into()))));
    };
    let segments: Vec<&str> = parts.uri.path().split('/').filter(|segment| !segment.is_empty()).collect();
    Ok(respond(dispatch(&state, parts.method.as_str(), &segments, &body)))
}

/// Converts the result of a route to its response.
fn respond(result: Result<Value, ControlError>) -> Response<Body> {
    match result {
        Ok(value) => response::json(200, &value),
        Err((status, error)) => response::json(status, &json!({ "error": error })),
    }
}

/// Runs the route of that method and path.
///
/// # Errors
/// There is no such route, key or version, the body is not what the route takes, or the state cannot be saved.
fn dispatch(state: &State, method: &str, path: &[&str], body: &[u8]) -> Result<Value, ControlError> {
    match (method, path) {
        ("GET", ["stats"]) => return Ok(json!(state.stats.snapshot())),
        ("GET", ["answers"]) => return Ok(json!(state.stats.responses())),
        ("GET", ["faults"]) => return Ok(json!(state.faults.current())),
        ("POST", ["keys", key, "rotate"]) => {
            return Ok(json!({ "version": rotate(state, key).map_err(not_found)? }));
        }
        ("POST", ["federated-token"]) => {
            let token = federated_token(state, &parse::<FederatedToken>(body)?);
            return Ok(json!({ "token": token.map_err(internal)? }));
        }
        ("PUT", ["application"]) => {
            state.set_application(parse::<Application>(body)?).map_err(|error| (400, error.0))?;
        }
        ("DELETE", ["stats"]) => state.stats.reset(),
        ("PUT", ["faults"]) => state.faults.set(parse_checked(body, Faults::check)?),
        ("DELETE", ["faults"]) => state.faults.set(Faults::default()),
        ("PATCH", ["keys", key, version]) => {
            change_key(state, key, version, parse_key_change(body)?).map_err(not_found)?;
        }
        ("PUT", ["permissions"]) => state.set_permissions(parse_checked(body, permissions::check)?),
        ("PUT", ["permission-model"]) => {
            state.set_permission_model(parse::<PermissionModelSettings>(body)?.model);
        }
        ("PUT", ["clock"]) => state.clock.set_offset(parse::<ClockSettings>(body)?.offset_s),
        ("PUT", ["challenge"]) => state.set_challenge(parse::<ChallengeSettings>(body)?.format),
        ("PUT", ["tokens"]) => {
            state.tokens.set_lifetime(Duration::from_secs(parse::<TokenSettings>(body)?.lifetime_s));
        }
        ("POST", ["connections", "hang"]) => state.hung_connections.hang_all(),
        ("DELETE", ["tokens"]) => state.revoke_tokens().map_err(internal)?,
        _ => return Err((404, ROUTES.into())),
    }
    Ok(json!({}))
}

/// Creates a version of the key like the newest, and returns its identifier.
///
/// # Errors
/// There is no such key, or the state cannot be saved.
pub(crate) fn rotate(state: &State, key: &str) -> Result<String, Error> {
    let created = state.rotate(key)?.ok_or_else(|| Error(format!("there is no key {key:?}")))?;
    Ok(created.version.version)
}

/// Changes the attributes of a key version.
///
/// # Errors
/// There is no such key or version, or the state cannot be saved.
pub(crate) fn change_key(state: &State, key: &str, version: &str, change: KeyChange) -> Result<(), Error> {
    let missing = || Error(format!("there is no version {version:?} of a key {key:?}"));
    state.change(key, Some(version), change)?.ok_or_else(missing).map(drop)
}

/// Signs a token of the cluster's issuer.
///
/// # Errors
/// The cryptographic library fails, or the issuer's new key cannot be saved.
pub(crate) fn federated_token(state: &State, token: &FederatedToken) -> Result<String, Error> {
    let key = state.issuer_key()?;
    token.sign(&key)
}

fn not_found(error: Error) -> ControlError {
    (404, error.to_string())
}

fn internal(error: Error) -> ControlError {
    (500, error.to_string())
}

/// Parses the body.
///
/// # Errors
/// A 400 when it is not the JSON of `T`.
fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, ControlError> {
    serde_json::from_slice(body).map_err(|error| (400, error.to_string()))
}

/// Parses the body and checks its values.
///
/// # Errors
/// A 400 when it is not the JSON of `T`, or the check fails.
fn parse_checked<T: for<'de> Deserialize<'de>>(
    body: &[u8],
    check: impl FnOnce(&T) -> Result<(), String>,
) -> Result<T, ControlError> {
    let value = parse(body)?;
    check(&value).map_err(|error| (400, error))?;
    Ok(value)
}

/// Parses a [`KeyPatch`] in which `null` removes a time.
///
/// # Errors
/// A 400 when it is not the JSON of a patch.
fn parse_key_change(body: &[u8]) -> Result<KeyChange, ControlError> {
    let mut change = KeyChange::from(parse::<KeyPatch>(body)?);
    let fields: Value = parse(body)?;
    for (name, time) in [("nbf", &mut change.nbf), ("exp", &mut change.exp)] {
        if fields.get(name).is_some_and(Value::is_null) {
            *time = Some(None);
        }
    }
    Ok(change)
}
