//! The questions to a running daemon: Status on the socket, and the snapshot on the healthz port.

use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;

use super::daemon::Healthz;
use crate::actors::{NoStatus, Probe};
use crate::config::ListenAddr;
use crate::http::Snapshot;
use crate::proto::v2;

/// The replies of both ends of the daemon. `--output=json` prints this.
#[derive(Debug, Serialize)]
pub(super) struct DaemonState {
    pub(super) socket: Reply<SocketStatus>,
    pub(super) daemon: Reply<Snapshot>,
}

impl DaemonState {
    /// Tells whether kube-apiserver gets a Status without an error.
    ///
    /// # Errors
    /// It does not: the reason.
    pub(super) fn outcome(self) -> Result<(), String> {
        match self.socket {
            Reply::Answered(SocketStatus::Ok { .. }) => Ok(()),
            Reply::Answered(SocketStatus::Error { error }) | Reply::Failed(error) => Err(error),
        }
    }
}

/// A reply, or the reason why there is none.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply<T> {
    Answered(T),
    Failed(String),
}

impl<T> From<Result<T, String>> for Reply<T> {
    fn from(reply: Result<T, String>) -> Self {
        reply.map_or_else(Self::Failed, Self::Answered)
    }
}

/// The result of v2 Status.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum SocketStatus {
    /// A status: kube-apiserver goes on writing.
    Ok { version: String, healthz: String, key_id: String },
    /// An error of the daemon.
    Error { error: String },
}

/// The addresses of a daemon, and the time limit of each of its replies.
pub(super) struct Query {
    pub(super) socket: ListenAddr,
    pub(super) healthz: Healthz,
    pub(super) limit: Duration,
}

impl Query {
    /// Calls both ends of the daemon at the same time.
    pub(super) async fn send(&self) -> DaemonState {
        let late = || format!("no answer within {:?}", self.limit);
        let (socket, daemon) = tokio::join!(
            timeout(self.limit, socket_status(&self.socket, self.limit)),
            timeout(self.limit, self.healthz.snapshot())
        );
        let socket = socket.unwrap_or_else(|_| Err(late()));
        DaemonState { socket: socket.into(), daemon: daemon.unwrap_or_else(|_| Err(late())).into() }
    }
}

/// Calls v2 Status.
///
/// # Errors
/// No response arrives; a response with an error is a result.
async fn socket_status(socket: &ListenAddr, limit: Duration) -> Result<SocketStatus, String> {
    match Probe::new(socket, limit).ask_status().await {
        Ok(v2::StatusResponse { version, healthz, key_id }) => {
            Ok(SocketStatus::Ok { version, healthz, key_id })
        }
        Err(NoStatus::Refused(error)) => Ok(SocketStatus::Error { error: error.message.into_owned() }),
        Err(NoStatus::NoAnswer(error)) => Err(error.message.into_owned()),
    }
}
