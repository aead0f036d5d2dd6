//! The whole daemon as a process, against the emulator, through its socket. One file a behaviour.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

mod apis;
mod audit;
mod authority;
mod canaries;
mod credentials;
mod docs;
mod drain;
mod flags;
mod health;
mod identity;
mod limits;
mod manifests;
mod metrics;
mod network;
mod operations;
mod outages;
mod preflight;
mod reload;
mod secrets;
mod slow_connections;
mod socket;
mod status;
mod supervision;
mod throttling;
mod tokens;
mod traces;
mod wire;
