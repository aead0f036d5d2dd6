//! `POST /debug/actors/{actor}/{fault}`: injects a fault into an actor, to demonstrate and test supervision.
//!
//! Exists only with the build feature `fault-injection`.

use actix::Addr;
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::post;

use crate::actors::{ActorName, Fault, InjectFault, Supervisor};
use crate::kms::{Code, KmsError};

/// Returns the route.
pub(crate) fn routes(supervisor: Addr<Supervisor>) -> Router {
    Router::new().route("/debug/actors/{actor}/{fault}", post(inject)).with_state(supervisor)
}

/// Injects the fault that the path names.
///
/// # Errors
/// `NotFound` for an unknown actor or fault; `Unavailable` when the actor is being restarted or the supervisor has
/// ended.
async fn inject(
    State(supervisor): State<Addr<Supervisor>>,
    Path((actor, fault)): Path<(String, String)>,
) -> Result<&'static str, KmsError> {
    let known = "actors: token, key-vault, health, reload; faults: panic, error, stop, stall, block";
    let (actor, fault) = parse(&actor, &fault).ok_or_else(|| KmsError::new(Code::NotFound, known))?;
    match supervisor.send(InjectFault(actor, fault)).await {
        Ok(true) => Ok("ok\n"),
        Ok(false) => Err(KmsError::new(Code::Unavailable, "that actor is being restarted")),
        Err(_) => Err(KmsError::new(Code::Unavailable, "the supervisor has ended")),
    }
}

fn parse(actor: &str, fault: &str) -> Option<(ActorName, Fault)> {
    let actors = [ActorName::Token, ActorName::KeyVault, ActorName::Health, ActorName::Reload];
    let actor = actors.into_iter().find(|known| known.as_str() == actor)?;
    let fault = match fault {
        "panic" => Fault::Panic,
        "error" => Fault::Error,
        "stop" => Fault::Stop,
        "stall" => Fault::Stall,
        "block" => Fault::Block,
        _ => return None,
    };
    Some((actor, fault))
}
