//! Starts the daemon as a process and talks to it as its clients do.
//!
//! Used by `tests/`, `examples/` and `benches/`; never linked into the daemon. What can fail in a way that a test has
//! no use for panics with the daemon's log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client;
mod collector;
mod daemon;
mod http;
mod inherit;
mod load;
mod process;
mod repeat;

pub use client::Client;
pub use collector::{Collector, attribute};
pub use daemon::{Daemon, Start, free_port, restarts, without_proxies};
pub use http::{Http, http};
pub use load::Load;
pub use process::Process;

use std::time::Duration;

/// kube-apiserver's timeout of a KMS call.
pub const CALL: Duration = Duration::from_secs(3);
/// Longer than anything here takes; who waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);
