//! The whole emulator over TLS, as Azure's clients use it, and the program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may end so

mod application;
mod assertion;
mod clock;
mod clouds;
mod connect;
mod control;
mod crypto;
mod entra;
mod errors;
mod faults;
mod federated;
mod harness;
mod headers;
mod hsm;
mod http2;
mod imds;
mod keys;
mod lists;
mod permissions;
mod program;
mod proxy;
mod recovery;
mod restart;
mod signer;
mod tokens;
mod validity;
