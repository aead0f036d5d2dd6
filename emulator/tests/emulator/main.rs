//! The whole emulator over real TLS, asked as Azure's clients ask, and the program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may end so

mod control;
mod crypto;
mod entra;
mod faults;
mod harness;
mod headers;
mod hsm;
mod imds;
mod keys;
mod lists;
mod program;
mod refusals;
mod restart;
mod rights;
mod tokens;
mod validity;
