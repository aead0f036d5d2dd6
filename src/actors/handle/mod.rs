//! The address of an actor that survives its restarts.
//!
//! Used by the callers of an actor. Knows no supervisor: each generation publishes its own address.

mod actix;
mod handover;

// the parts of tokio that `handover` runs on; `tests/model` replaces them
use tokio::{sync, time};

pub(crate) use self::actix::{ActorHandle, ActorSlot};
pub(crate) use handover::{Ask, Job};
