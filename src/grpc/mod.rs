//! Both KMS services on one unix socket.
//!
//! Built and drained by `app`. Handlers check what they are sent, are admitted, and ask the `KeyVaultActor`;
//! Version and Status answer from memory.

mod admission;
mod answers;
mod audited;
mod authority;
mod backend;
mod caller;
mod connection;
mod deadline;
mod episode;
mod holder;
mod inherited;
mod open_calls;
mod receive;
mod refused;
mod rpc;
mod server;
mod socket;
mod status;
mod status_policy;
mod turn;
mod v1;
mod v2;

/// What `crate::fuzzing` drives.
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing {
    pub(crate) use super::authority::fuzzing::connection;
    pub(crate) use super::server::fuzzing::server;
}

pub(crate) use admission::Admission;
pub(crate) use backend::Backend;
pub(crate) use holder::Holder;
pub(crate) use inherited::Inherited;
pub(crate) use server::serve;
pub(crate) use socket::{BoundSocket, SocketFile};
