//! The methods of both services, and the steps that they share.
//!
//! Handlers check their request, are admitted, and ask the `KeyVaultActor`; Version and Status answer from memory.

mod admission;
mod backend;
mod deadline;
mod request_context;
mod status_policy;
mod v1;
mod v2;

pub(crate) use admission::Admission;
pub(super) use admission::QUEUE;
pub(crate) use backend::Backend;
pub(super) use v1::V1;
pub(super) use v2::V2;
