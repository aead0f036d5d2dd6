//! The listening unix socket: bound by this process, or inherited from systemd.

mod activation;
mod owner;
mod socket;

pub(crate) use activation::Inherited;
pub(crate) use owner::SocketOwner;
pub(crate) use socket::{BoundSocket, SocketFile};
