//! Both KMS services on one unix socket.
//!
//! Built and drained by `app`. Handlers check what they are sent, are admitted, and ask the `KeyVaultActor`;
//! Version and Status answer from memory.

mod admission;
mod authority;
mod backend;
mod caller;
mod deadline;
mod inherited;
mod message_limit;
mod server;
mod socket;
mod status;
mod status_policy;
mod v1;
mod v2;

/// What `crate::fuzzing` drives.
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing {
    pub(crate) use super::authority::fuzzing::connection;
}

pub(crate) use admission::Admission;
pub(crate) use backend::Backend;
pub(crate) use inherited::Inherited;
pub(crate) use server::serve;
pub(crate) use socket::{BoundSocket, SocketFile};
