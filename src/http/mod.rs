//! The HTTP endpoints: health for the kubelet, metrics for Prometheus. They respond from memory and make no calls.

mod accept;
mod checks;
#[cfg(feature = "fault-injection")]
mod debug;
mod health;
mod router;
mod server;
mod snapshot;
mod status;
mod zpages;

pub(crate) use checks::Checks;
#[cfg(feature = "fault-injection")]
pub(crate) use debug::routes as debug_routes;
pub(crate) use router::{health_routes, metrics_routes};
pub(crate) use server::{NotBound, bind, serve};
pub(crate) use snapshot::{ActorView, ReloadView, Snapshot, Snapshots};
pub(crate) use zpages::{ZPages, zpage_routes};
