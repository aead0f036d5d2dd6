//! The methods of both services, and the steps that they share.
//!
//! Encrypt and Decrypt check their request, wait for admission, and call the `KeyVaultActor`; Version and Status
//! respond from memory.

mod admission;
mod backend;
mod deadline;
mod request_context;
mod status_policy;
mod v1;
mod v2;

pub(crate) use admission::Admission;
pub(super) use admission::MAX_QUEUED;
pub(crate) use backend::Backend;
pub(super) use v1::V1;
pub(super) use v2::V2;
