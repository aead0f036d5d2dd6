//! A model of supervision and hand-over, which checks that no race loses a call.
//!
//! The code under test is the daemon's own: `src/actors/handle/handover.rs`, which decides whether a call survives
//! its actor, and `src/actors/supervision/liveness.rs`, the supervisor's view of a child. Both are compiled into this
//! test unchanged; shuttle runs the threads around them in many schedules, the same at every run. `states` explores
//! the states of `liveness` alone, exhaustively.
//!
//! The rest is abstract:
//!
//! - An actor is a thread with a mailbox that closes in two steps, as actix's does. At any step it may end, stall,
//!   block and resume, or drop a job. Its jobs are tasks of their own, and are aborted with a stopped thread.
//! - The supervisor is the loop of `src/actors/supervision/supervisor.rs`, written again: it handles one event after
//!   the other, in any order in which they can arrive. Logs, metrics and the restart policy are left out; a pause has
//!   any length.
//! - There is no clock. The watchdog ticks at any time, and a deadline passes at any time or never. Without deadlines
//!   a lost call is a deadlock, which shuttle reports.
//! - tokio's `watch` and `oneshot` are the real ones. Other threads run between two of their operations, and never
//!   within one; tokio's own tests cover that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod actor;
mod environment;
#[path = "../../src/actors/handle/handover.rs"]
mod handover;
#[path = "../../src/actors/supervision/liveness.rs"]
mod liveness;
mod races;
mod states;
mod supervisor;
mod sync;
mod time;
