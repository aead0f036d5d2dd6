//! The four health checks, read from what the actors publish.

use tokio::sync::watch;

use crate::actors::{HealthReport, Supervision};
use crate::kms::KmsError;
use crate::vault::TokenReader;

/// One check: its name, and why it fails.
pub(crate) type Outcome = (&'static str, Result<(), String>);

/// Reads the published snapshots.
#[derive(Clone)]
pub(crate) struct Checks {
    /// Which actors run.
    pub supervision: watch::Receiver<Supervision>,
    /// What the probes found.
    pub report: watch::Receiver<HealthReport>,
    /// Whether there is a token.
    pub tokens: TokenReader,
}

impl Checks {
    /// What restarting the process could mend.
    pub(crate) fn live(&self) -> Vec<Outcome> {
        vec![("actors", self.actors()), ("grpc-socket", said(self.report.borrow().grpc_socket.outcome()))]
    }

    /// Everything.
    pub(crate) fn all(&self) -> Vec<Outcome> {
        let mut checks = self.live();
        checks.push(("token", self.token()));
        checks.push(("key-vault", said(self.report.borrow().key_vault())));
        checks
    }

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

    fn token(&self) -> Result<(), String> {
        match (self.tokens.latest(), self.tokens.last_error()) {
            (Some(_), _) => Ok(()),
            (None, Some(error)) => Err(error.message),
            (None, None) => Err("no token yet".into()),
        }
    }
}

fn said(outcome: Result<(), KmsError>) -> Result<(), String> {
    outcome.map_err(|error| error.message.into_owned())
}
