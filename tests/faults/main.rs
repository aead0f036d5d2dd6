//! The guarantees under faults, each with a test: the whole daemon as a process, against the emulator.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, unused_imports)] // shared with tests/daemon, which needs more of it
#[path = "../daemon/harness.rs"]
mod harness;

mod calls;
mod hostile;
mod restart;
mod status;
mod supervision;
