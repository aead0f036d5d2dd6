//! A KMS plugin that lets kube-apiserver encrypt etcd with a key in Azure Key Vault.
//!
//! | module | responsibility |
//! |---|---|
//! | `app` | wiring: builds, waits for a signal, drains |
//! | `cli` | flags in Go's syntax, and the tree of commands |
//! | `config` | validation of flags and files |
//! | `commands` | the commands beside the daemon |
//! | `actors` | the actors, their supervision and health |
//! | `grpc` | the unix socket and the services of both KMS APIs |
//! | `http` | health endpoints, metrics and debug pages |
//! | `vault` | key operations behind one trait, and the call engine around them |
//! | `azure` | the clients of Azure, on its SDK |
//! | `kms` | the domain: keys, ciphertexts, errors |
//! | `telemetry` | logs, metrics and traces |
//! | `audit` | the audit log |
//! | `backoff` | the pauses before retries |
//!
//! `docs/architecture.md` shows how they work together. The binary is [`main`]; [`proto`] is public for clients and tests.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod actors;
mod app;
mod audit;
mod azure;
mod backoff;
#[cfg(feature = "benchmark")]
pub mod benchmark;
mod cli;
mod commands;
mod config;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod grpc;
mod http;
mod kms;
pub mod proto;
mod telemetry;
mod vault;

pub use app::main;
