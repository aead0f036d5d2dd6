//! The HTTP endpoints: health for the kubelet, metrics for Prometheus. Answer from memory, call nobody.

mod checks;
#[cfg(feature = "fault-injection")]
mod debug;
mod health;
mod router;
mod server;
mod status;

pub(crate) use checks::Checks;
#[cfg(feature = "fault-injection")]
pub(crate) use debug::routes as debug_routes;
pub(crate) use router::{health_routes, metrics_routes};
pub(crate) use server::{bind, serve};
