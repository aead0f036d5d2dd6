//! Supervision: actors are started, watched, and restarted when they end or hang.
//!
//! Started by `app` with a list of children. Decides nothing about requests.

mod child;
mod liveness;
mod protocol;
mod restart_policy;
mod supervisor;

pub(crate) use child::{ActorStatus, ChildSpec};
#[cfg(feature = "fault-injection")]
pub(crate) use protocol::Fault;
pub(crate) use protocol::{ActorName, Control, Lifeline};
#[cfg(test)]
pub(crate) use protocol::{ChildExited, no_supervisor};
#[cfg(feature = "fault-injection")]
pub(crate) use supervisor::InjectFault;
pub(crate) use supervisor::{Shutdown, Supervision, Supervisor};
