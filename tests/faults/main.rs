//! Faults from outside: the whole daemon as a process, against the emulator. One file a kind of fault.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../daemon/harness.rs"]
mod harness;

mod restart;
