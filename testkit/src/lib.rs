//! Starts the daemon as a process and calls it as its clients do.
//!
//! Used by `tests/`, `examples/` and `benches/`; never linked into the daemon. A failure that no test expects
//! panics, with the daemon's log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client;
mod collector;
mod daemon;
mod http;
mod inherit;
mod load;
mod process;
mod timeouts;
mod transparent_retry;

pub use client::Client;
pub use collector::{Collector, attribute};
pub use daemon::{Daemon, Start, free_port, restarts, without_proxies};
pub use http::{Http, http};
pub use load::Load;
pub use process::Process;
pub use timeouts::{CALL_TIMEOUT, TEST_TIMEOUT};
