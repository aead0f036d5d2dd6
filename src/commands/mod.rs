//! The commands beside the daemon itself. Each is one function from its flags to an exit code; none starts an actor.

mod healthcheck;
mod status;

pub(crate) use healthcheck::healthcheck;
pub(crate) use status::status;
