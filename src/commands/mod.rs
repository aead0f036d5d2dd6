//! The commands beside the daemon itself. Each is one function from its flags to what it prints, or why it
//! cannot; none starts an actor.

mod healthcheck;
mod manifests;
mod preflight;
mod status;

pub(crate) use healthcheck::healthcheck;
pub(crate) use manifests::manifests;
pub(crate) use preflight::preflight;
pub(crate) use status::status;
