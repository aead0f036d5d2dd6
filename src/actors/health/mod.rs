//! Health: the actor that probes our own socket, the client it probes with, and the report it publishes.
//!
//! Status and the HTTP endpoints answer from the report; the gRPC handlers record the outcomes of clients' requests.

mod actor;
mod passive;
mod probe;
mod report;
mod socket_client;

pub(crate) use actor::{HealthActor, HealthParts};
pub(crate) use passive::PassiveHealth;
pub(crate) use probe::{KIND_HEADER, NoStatus, PROBE_HEADER, Probe};
pub(crate) use report::{HealthReport, Outage};
pub(crate) use socket_client::SocketClient;
