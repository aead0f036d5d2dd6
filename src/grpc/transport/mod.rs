//! One connection below HTTP/2: its bytes, its timeouts, and the `:authority` that h2 would refuse.

mod authority;
mod connection;
mod connection_limit;
mod cooperate;

#[cfg(feature = "fuzzing")]
pub(crate) use authority::fuzzing;
pub(super) use authority::{AuthorityStream, LargeBlocks};
pub(super) use connection::{CallGuard, Connection, ConnectionState, RESERVED_CALLS};
pub(super) use connection_limit::ConnectionLimit;

/// The length of the client's connection preface in bytes (RFC 9113 §3.4).
const PREFACE_LENGTH: usize = 24;
