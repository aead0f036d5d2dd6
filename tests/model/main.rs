//! A model of supervision and hand-over: could a race lose a call?
//!
//! What is explored is the daemon's own code: `src/actors/handle/handover.rs`, which decides whether a call survives its
//! actor, and `src/actors/supervision/liveness.rs`, which decides what the supervisor believes. They are compiled into this test as
//! they are; shuttle runs the threads around them in many orders, the same at every run.
//!
//! What is abstract:
//!
//! - An actor is a thread with a mailbox that closes in two steps, as actix's does. It ends, stalls, blocks and comes
//!   back, or drops a job, wherever it likes. Its jobs are tasks of their own, and go with a stopped thread.
//! - The supervisor is the loop that `src/actors/supervision/supervisor.rs` is, written again: one event after the other, in
//!   any order in which they can arrive. Logs, metrics and the restart policy are left out; a pause is any time.
//! - There is no clock. A watchdog's tick comes at any time, and a deadline passes at any time or never. Without
//!   deadlines a lost call is a deadlock, which shuttle reports.
//! - tokio's `watch` and `oneshot` are the real ones; between two of their operations anything may happen, within
//!   one of them nothing. tokio explores those itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod actor;
#[path = "../../src/actors/handle/handover.rs"]
mod handover;
#[path = "../../src/actors/supervision/liveness.rs"]
mod liveness;
mod lives;
mod races;
mod supervisor;
mod sync;
mod time;
mod world;
