//! The actors, their supervision, and the addresses that survive their restarts.
//!
//! Started by `app`. The `TokenActor`, the `HealthActor`, the `ReloadActor` and the `Supervisor` publish snapshots and
//! are on no request's path; a request makes one hop, to the `KeyVaultActor`.

mod handle;
mod health;
mod key_vault;
mod reload;
mod subscribe;
mod supervision;
mod token;

pub(crate) use handle::{ActorHandle, ActorSlot};
pub(crate) use health::{
    HealthActor, HealthParts, HealthReport, KIND_HEADER, NoStatus, Outage, PROBE_HEADER, PassiveHealth,
    Probe, SocketClient,
};
pub(crate) use key_vault::{KeyVaultActor, KeyVaultParts};
pub(crate) use reload::{ActiveCredential, CredentialCheck, ReloadActor, ReloadParts, ReloadReport};
pub(crate) use supervision::{ActorName, ActorStatus, ChildSpec, Shutdown, Supervision, Supervisor};
#[cfg(feature = "fault-injection")]
pub(crate) use supervision::{Fault, InjectFault};
pub(crate) use token::{TokenActor, TokenParts};
