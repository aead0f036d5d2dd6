//! The daemon under faults that are injected on purpose. One file a kind of fault.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, unused_imports)] // it serves `tests/daemon` too, which uses all of it
#[path = "../daemon/harness.rs"]
mod harness;

mod supervision;
