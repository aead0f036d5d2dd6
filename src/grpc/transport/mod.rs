//! One connection below HTTP/2: its bytes, its timeouts, and the `:authority` that h2 would refuse.

mod authority;
mod connection;
mod connection_limit;
mod cooperate;

#[cfg(feature = "fuzzing")]
pub(crate) use authority::fuzzing;
pub(super) use authority::{AuthorityStream, LargeBlocks};
pub(super) use connection::{CallMark, Connection, ConnectionState, OWN_CALLS};
pub(super) use connection_limit::ConnectionLimit;
