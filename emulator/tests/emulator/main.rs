//! The whole emulator over real TLS, asked as Azure's clients ask, and the program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may end so

mod application;
mod assertion;
mod clock;
mod clouds;
mod connect;
mod control;
mod crypto;
mod entra;
mod faults;
mod federated;
mod harness;
mod headers;
mod hsm;
mod http2;
mod imds;
mod keys;
mod lists;
mod program;
mod proxy;
mod recovery;
mod refusals;
mod restart;
mod rights;
mod signer;
mod tokens;
mod validity;
