//! The four health checks, from the snapshots that the actors publish.

use tokio::sync::watch;

use crate::actors::{HealthReport, Supervision};
use crate::kms::KmsError;
use crate::vault::TokenReader;

/// The result of one check, by its name. An error is the reason why it fails.
pub(crate) type CheckResult = (&'static str, Result<(), String>);

/// The health checks, on the published snapshots.
#[derive(Clone)]
pub(crate) struct Checks {
    /// The state of every actor.
    pub supervision: watch::Receiver<Supervision>,
    /// The latest health report.
    pub report: watch::Receiver<HealthReport>,
    /// The published token, or the error of its last refresh.
    pub tokens: TokenReader,
}

impl Checks {
    /// Returns the liveness checks: the failures that a restart of the process can fix.
    pub(crate) fn live(&self) -> Vec<CheckResult> {
        vec![("actors", self.actors()), ("grpc-socket", message(self.report.borrow().grpc_socket.outcome()))]
    }

    /// Returns all checks.
    pub(crate) fn all(&self) -> Vec<CheckResult> {
        let mut checks = self.live();
        checks.push(("token", self.token()));
        checks.push(("key-vault", message(self.report.borrow().key_vault())));
        checks
    }

    /// Checks that every actor runs.
    ///
    /// # Errors
    /// The reason: an actor is being restarted, none was started yet, or the restart limit was exceeded.
    fn actors(&self) -> Result<(), String> {
        let supervision = self.supervision.borrow();
        if let Some(why) = &supervision.gave_up {
            return Err(format!("the restart limit was passed: {why}"));
        }
        match supervision.actors.iter().find(|actor| !actor.is_running) {
            Some(actor) => Err(format!("{} is being restarted", actor.name.as_str())),
            None if supervision.actors.is_empty() => Err("not started yet".into()),
            None => Ok(()),
        }
    }

    /// Checks that there is a token.
    ///
    /// # Errors
    /// The error of the last refresh, or that there was none yet.
    fn token(&self) -> Result<(), String> {
        match (self.tokens.latest(), self.tokens.last_error()) {
            (Some(_), _) => Ok(()),
            (None, Some(error)) => Err(error.message),
            (None, None) => Err("no token yet".into()),
        }
    }
}

/// Reduces an error to its message.
///
/// # Errors
/// The message of the error, if there is one.
fn message(outcome: Result<(), KmsError>) -> Result<(), String> {
    outcome.map_err(|error| error.message.into_owned())
}
