//! The duration of a restart, from SIGTERM until a client is served again: `cargo bench --bench restart`.
//!
//! Runs the daemon as a process of its own against the emulator, with idle clients connected. Without criterion, as each
//! restart is one sample.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::future::Future;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use akv_emulator::{Emulator, Options};
use kms_testkit::{Client, Daemon, Start};

const PROGRAM: &str = env!("CARGO_BIN_EXE_azure-kms-provider");
const RESTARTS: usize = 50;
/// The number of clients that are connected while the daemon drains.
const IDLE_CLIENTS: usize = 8;
/// The interval between two attempts of a client while the socket is closed.
const POLL: Duration = Duration::from_micros(200);

#[tokio::main]
async fn main() {
    if !std::env::args().any(|arg| arg == "--bench") {
        return; // built, but not asked to run: cargo test --benches
    }
    report("baseline: the program starts, prints its version and ends", program());
    for is_inherited in [false, true] {
        println!("\n{}:", if is_inherited { "inherited socket" } else { "socket by path" });
        let folder = tempfile::tempdir().unwrap();
        let emulator = Emulator::start(Options::new(folder.path().join("akv"))).await.unwrap();
        let restarts = restarts(folder.path(), is_inherited).await;
        report("SIGTERM to exit", restarts.iter().map(|restart| restart.exit));
        report("start to a served Version", restarts.iter().map(|restart| restart.served));
        report("SIGTERM to a served Version", restarts.iter().map(|restart| restart.exit + restart.served));
        report("start to a served Encrypt", restarts.iter().map(|restart| restart.encrypted));
        emulator.shutdown().await;
    }
}

/// The durations of one restart, from SIGTERM to the exit, and from the start to each response.
struct Restart {
    exit: Duration,
    served: Duration,
    encrypted: Duration,
}

async fn restarts(folder: &Path, is_inherited: bool) -> Vec<Restart> {
    let socket = is_inherited.then(|| UnixListener::bind(folder.join("kms.socket")).unwrap());
    let mut daemon = start(folder, socket.as_ref()).healthy().await;
    let mut restarts = Vec::new();
    for _ in 0..RESTARTS {
        let clients = connected(&daemon).await;
        let restart;
        (restart, daemon) = restart_of(daemon, start(folder, socket.as_ref())).await;
        restarts.push(restart);
        daemon.logs("\"Healthy\"").await; // all restarts begin in the same state
        drop(clients);
    }
    restarts
}

fn start(folder: &Path, socket: Option<&UnixListener>) -> Start {
    let args = std::fs::read_to_string(folder.join("akv/args")).unwrap();
    let start = Start::new(PROGRAM, folder, args.lines().map(str::to_owned).collect());
    match socket {
        Some(socket) => start.inherit(socket.try_clone().unwrap()),
        None => start,
    }
}

async fn connected(daemon: &Daemon) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..IDLE_CLIENTS).map(|_| daemon.client()).collect();
    for client in &mut clients {
        client.version().await.unwrap();
    }
    clients
}

async fn restart_of(mut daemon: Daemon, next: Start) -> (Restart, Daemon) {
    let begin = Instant::now();
    daemon.terminate();
    assert!(daemon.exit().await.success());
    let exit = begin.elapsed();
    let begin = Instant::now();
    let daemon = next.spawn();
    served(|| async { daemon.client().version().await }).await;
    let served_after = begin.elapsed();
    served(|| async { daemon.client().encrypt_v2(&[7; 32]).await }).await;
    (Restart { exit, served: served_after, encrypted: begin.elapsed() }, daemon)
}

async fn served<T, E, F: Future<Output = Result<T, E>>>(call: impl Fn() -> F) {
    while call().await.is_err() {
        tokio::time::sleep(POLL).await;
    }
}

/// Measures runs of the program that only print its version, as a baseline.
fn program() -> impl Iterator<Item = Duration> {
    let run = |_| {
        let begin = Instant::now();
        assert!(Command::new(PROGRAM).arg("--version").stdout(Stdio::null()).status().unwrap().success());
        begin.elapsed()
    };
    (0..RESTARTS).map(run)
}

fn report(what: &str, samples: impl Iterator<Item = Duration>) {
    let mut samples: Vec<Duration> = samples.collect();
    samples.sort();
    let at =
        |percent: usize| samples[(samples.len() * percent / 100).min(samples.len() - 1)].as_secs_f64() * 1e3;
    println!("{what}: median {:.1} ms, p90 {:.1} ms, longest {:.1} ms", at(50), at(90), at(100));
}
