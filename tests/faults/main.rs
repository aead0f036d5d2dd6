//! Faults from outside: the whole daemon as a process, against the emulator. One file a kind of fault.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../daemon/harness.rs"]
#[allow(dead_code, unused_imports)] // made for the tests of the daemon, which use all of it
mod harness;

mod restart;
