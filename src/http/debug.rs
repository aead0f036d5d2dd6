//! `POST /debug/actors/{actor}/{fault}`: makes an actor fail, to show and to test supervision.
//!
//! Exists only with the build feature `fault-injection`.

use actix::Addr;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;

use crate::actors::{ActorName, Fault, InjectFault, Supervisor};

/// The route.
pub(crate) fn routes(supervisor: Addr<Supervisor>) -> Router {
    Router::new().route("/debug/actors/{actor}/{fault}", post(inject)).with_state(supervisor)
}

async fn inject(
    State(supervisor): State<Addr<Supervisor>>,
    Path((actor, fault)): Path<(String, String)>,
) -> (StatusCode, String) {
    let Some((actor, fault)) = read(&actor, &fault) else {
        return (
            StatusCode::NOT_FOUND,
            "actors: token, key-vault, health; faults: panic, stop, stall\n".into(),
        );
    };
    match supervisor.send(InjectFault(actor, fault)).await {
        Ok(()) => (StatusCode::OK, "ok\n".into()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn read(actor: &str, fault: &str) -> Option<(ActorName, Fault)> {
    let actors = [ActorName::Token, ActorName::KeyVault, ActorName::Health];
    let actor = actors.into_iter().find(|known| known.as_str() == actor)?;
    let fault = match fault {
        "panic" => Fault::Panic,
        "stop" => Fault::Stop,
        "stall" => Fault::Stall,
        _ => return None,
    };
    Some((actor, fault))
}
