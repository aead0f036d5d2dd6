//! The control API: JSON over plain HTTP, for tests and for people who play with outages.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::application::Application;
use crate::faults::Faults;
use crate::issuer::FederatedToken;
use crate::keys::{Change, KeyPatch};
use crate::permissions::{self, PermissionModel, Permissions};
use crate::reply;
use crate::server::Answer;
use crate::state::{Challenge, State};

/// What a request to another path is told.
const ROUTES: &str = "GET /stats, DELETE /stats, GET /answers, PUT /faults, GET /faults, DELETE /faults, POST /keys/{name}/rotate, \
                      PATCH /keys/{name}/{version}, PUT /application, \
                      POST /federated-token, PUT /permissions, PUT /permission-model, PUT /challenge, PUT /tokens, \
                      DELETE /tokens, PUT /clock, POST /connections/hang";

/// A refused request: its status and what is wrong.
type Refusal = (u16, String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenSettings {
    lifetime_s: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChallengeSettings {
    format: Challenge,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PermissionModelSettings {
    model: PermissionModel,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockSettings {
    offset_s: i32,
}

/// Answers one control request.
pub(crate) async fn handle(state: Arc<State>, request: Request<Body>) -> Answer {
    let (parts, body) = request.into_parts();
    let Some(body) = reply::body(body).await else {
        return Ok(respond(Err((413, "the body is larger than 1 MiB".into()))));
    };
    let segments: Vec<&str> = parts.uri.path().split('/').filter(|segment| !segment.is_empty()).collect();
    Ok(respond(dispatch(&state, parts.method.as_str(), &segments, &body)))
}

fn respond(outcome: Result<Value, Refusal>) -> Response<Body> {
    match outcome {
        Ok(value) => reply::json(200, &value),
        Err((status, error)) => reply::json(status, &json!({ "error": error })),
    }
}

fn dispatch(state: &State, method: &str, path: &[&str], body: &[u8]) -> Result<Value, Refusal> {
    match (method, path) {
        ("GET", ["stats"]) => return Ok(json!(state.stats.snapshot())),
        ("GET", ["answers"]) => return Ok(json!(state.stats.answers())),
        ("GET", ["faults"]) => return Ok(json!(state.faults.current())),
        ("POST", ["keys", key, "rotate"]) => {
            return Ok(json!({ "version": crate::rotate(state, key).map_err(not_found)? }));
        }
        ("POST", ["federated-token"]) => {
            let token = crate::federated_token(state, &read::<FederatedToken>(body)?);
            return Ok(json!({ "token": token.map_err(internal)? }));
        }
        ("PUT", ["application"]) => {
            state.set_application(read::<Application>(body)?).map_err(|error| (400, error.0))?;
        }
        ("DELETE", ["stats"]) => state.stats.reset(),
        ("PUT", ["faults"]) => state.faults.set(checked(body, Faults::check)?),
        ("DELETE", ["faults"]) => state.faults.set(Faults::default()),
        ("PATCH", ["keys", key, version]) => {
            crate::change(state, key, version, key_change(body)?).map_err(not_found)?;
        }
        ("PUT", ["permissions"]) => state.set_permissions(checked::<Permissions>(body, permissions::check)?),
        ("PUT", ["permission-model"]) => {
            state.set_permission_model(read::<PermissionModelSettings>(body)?.model);
        }
        ("PUT", ["clock"]) => state.clock.set_offset(read::<ClockSettings>(body)?.offset_s),
        ("PUT", ["challenge"]) => state.set_challenge(read::<ChallengeSettings>(body)?.format),
        ("PUT", ["tokens"]) => {
            state.tokens.set_lifetime(Duration::from_secs(read::<TokenSettings>(body)?.lifetime_s));
        }
        ("POST", ["connections", "hang"]) => state.hung_connections.hang(),
        ("DELETE", ["tokens"]) => state.revoke_tokens().map_err(internal)?,
        _ => return Err((404, ROUTES.into())),
    }
    Ok(json!({}))
}

fn not_found(error: crate::Error) -> Refusal {
    (404, error.to_string())
}

fn internal(error: crate::Error) -> Refusal {
    (500, error.to_string())
}

fn read<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| (400, error.to_string()))
}

fn checked<T: for<'de> Deserialize<'de>>(
    body: &[u8],
    check: impl FnOnce(&T) -> Result<(), String>,
) -> Result<T, Refusal> {
    let value = read(body)?;
    check(&value).map_err(|error| (400, error))?;
    Ok(value)
}

/// A patch, in which `null` takes a time away.
fn key_change(body: &[u8]) -> Result<Change, Refusal> {
    let mut change = Change::from(read::<KeyPatch>(body)?);
    let fields: Value = read(body)?;
    for (name, time) in [("nbf", &mut change.nbf), ("exp", &mut change.exp)] {
        if fields.get(name).is_some_and(Value::is_null) {
            *time = Some(None);
        }
    }
    Ok(change)
}
