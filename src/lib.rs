//! A KMS plugin that lets kube-apiserver encrypt etcd with a key in Azure Key Vault.
//!
//! ```text
//! kube-apiserver ─unix socket─▶ grpc ─ask─▶ KeyVaultActor ─HTTPS─▶ Key Vault
//!                                               ▲ reads the published token
//! kubelet ─HTTP─▶ http                      TokenActor ─▶ Entra ID / IMDS
//!                  ▲ reads the published report
//!                  └─ HealthActor (a gRPC client of our own socket)
//! Supervisor: starts the actors, learns of every end and every hang, restarts, gives up loudly
//! ```
//!
//! | module | its job |
//! |---|---|
//! | `app` | the only wiring: build, wait for a signal, drain |
//! | `cli`, `config` | flags and files, validated once |
//! | `commands` | the commands beside the daemon |
//! | `actors` | the actors and their supervision |
//! | `vault` | key operations behind one trait, and the call engine around them |
//! | `azure` | the Azure SDK |
//! | `kms` | the domain: keys, ciphertexts, errors |
//! | `grpc`, `http` | the two faces |
//! | `telemetry` | logs and metrics |
//! | `audit` | the audit log |
//!
//! The binary is [`main`]; [`proto`] is public for clients and tests.
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
