//! The actors, who supervises them, and the addresses that survive their restarts.
//!
//! Started by `app`. The `TokenActor`, the `HealthActor` and the `Supervisor` publish snapshots and are on no
//! request's path; a request makes one hop, to the `KeyVaultActor`.

mod child;
mod control;
mod handle;
mod handover;
mod health;
mod key_vault;
mod life;
mod probe;
mod reload;
mod restart_policy;
mod supervisor;
mod token;
mod watching;

// what `handover` runs on: `tests/model` puts its own in their place
use tokio::{sync, time};

pub(crate) use child::{ActorStatus, ChildSpec};
pub(crate) use control::ActorName;
#[cfg(feature = "fault-injection")]
pub(crate) use control::Fault;
pub(crate) use handle::{ActorHandle, ActorSlot};
pub(crate) use health::{Evidence, HealthActor, HealthParts, HealthReport, Outage, SocketClient};
pub(crate) use key_vault::{KeyVaultActor, KeyVaultParts};
pub(crate) use probe::{Api, NoStatus, PROBE_HEADER, Probe};
pub(crate) use reload::{ReloadActor, ReloadParts, ReloadReport, Supply, Trial};
#[cfg(feature = "fault-injection")]
pub(crate) use supervisor::InjectFault;
pub(crate) use supervisor::{Shutdown, Supervision, Supervisor};
pub(crate) use token::{TokenActor, TokenParts};
