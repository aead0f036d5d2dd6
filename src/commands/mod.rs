//! The commands beside the daemon itself. Each is one function from its flags to its output, or to the reason why there
//! is none; none starts an actor.

mod completion;
mod healthcheck;
mod man;
mod manifests;
mod preflight;
mod status;

pub(crate) use completion::completion;
pub(crate) use healthcheck::healthcheck;
pub(crate) use man::man;
pub(crate) use manifests::manifests;
pub(crate) use preflight::preflight;
pub(crate) use status::status;
