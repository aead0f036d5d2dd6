//! The whole daemon as a process while somebody, or something, does its worst. One folder a kind of fault.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(unused)] // shared with `tests/daemon`, which uses all of it
#[path = "../daemon/harness.rs"]
mod harness;

mod hostile;
