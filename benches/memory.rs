//! The daemon's resident memory before and after 100,000 requests: `cargo bench --bench memory`.
//!
//! Runs the daemon as a process of its own against the emulator, with TLS. Without criterion, as it measures no time.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::Path;

use akv_emulator::{Emulator, Options};
use kms_testkit::{Client, Daemon, Start};

const REQUESTS: usize = 100_000;
const IN_FLIGHT: usize = 64;

#[tokio::main]
async fn main() {
    if !std::env::args().any(|arg| arg == "--bench") {
        return; // built, but not asked to run: cargo test --benches
    }
    let folder = tempfile::tempdir().unwrap();
    let emulator = Emulator::start(Options::new(folder.path().join("akv"))).await.unwrap();
    let daemon = start(folder.path()).await;
    println!("after the start: {} KiB resident", daemon.process.resident_kib().unwrap());
    load(&daemon).await;
    println!("after {REQUESTS} requests: {} KiB resident", daemon.process.resident_kib().unwrap());
    emulator.shutdown().await;
}

async fn start(folder: &Path) -> Daemon {
    let args = std::fs::read_to_string(folder.join("akv/args")).unwrap();
    let args = args.lines().map(str::to_owned).collect();
    let start = Start::new(env!("CARGO_BIN_EXE_azure-kms-provider"), folder, args);
    start.arg("--keyvault-qps=1000000").arg("--keyvault-burst=1000000").healthy().await
}

/// Sends the requests, all of them encrypts: the emulator's private key operations would take ten times as long.
async fn load(daemon: &Daemon) {
    let connections: Vec<Client> = (0..4).map(|_| daemon.client()).collect();
    let tasks: Vec<_> = (0..IN_FLIGHT)
        .map(|task| {
            let mut client = connections[task % connections.len()].clone();
            tokio::spawn(async move {
                for _ in 0..REQUESTS / IN_FLIGHT {
                    client.encrypt_v2(&[7; 32]).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}
