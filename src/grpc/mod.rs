//! Both KMS services on one unix socket.
//!
//! Built and drained by `app`. A request passes through the folders in this order: `listener` (the socket), `transport`
//! (one connection), `layers` (one call, before its message is decoded), `service` (the methods).

mod error;
mod layers;
mod listener;
mod server;
mod service;
mod transport;

/// The entry points that `crate::fuzzing` drives.
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing {
    pub(crate) use super::server::fuzzing::server;
    pub(crate) use super::transport::fuzzing::connection;
}

pub(crate) use listener::{BoundSocket, Inherited, SocketFile, SocketOwner};
pub(crate) use server::serve;
pub(crate) use service::{Admission, Backend};
