//! The cost of the actor, of the audit log and of traces for a request: `cargo bench --bench request_path`.
//!
//! Measures the path from the socket through the actor to the vault and back, and the same server without the actor. Each
//! server is a process of its own, as traces are on or off for a whole process. Its vault is in that process and answers
//! at once; the client and the servers share the machine's cores.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use azure_kms_provider::benchmark::{CallPath, Server};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use kms_testkit::{Client, Collector};
use tokio::runtime::Runtime;

/// The number of connections; kube-apiserver has one for each provider entry.
const CONNECTIONS: usize = 4;
/// The time limit for the start of a server.
const STARTUP: Duration = Duration::from_secs(10);
/// A plaintext of the size of kube-apiserver's data keys.
const DATA_KEY: [u8; 32] = [7; 32];
/// The measured servers: name, call path, and number of requests in a million that are traced.
const VARIANTS: [(&str, CallPath, u32); 5] = [
    ("handlers", CallPath::Direct, 0),
    ("actor", CallPath::Actor, 0),
    (AUDITED, CallPath::Actor, 0),
    ("traced-1%", CallPath::Actor, 10_000),
    ("traced-100%", CallPath::Actor, 1_000_000),
];
const AUDITED: &str = "audited";
/// The environment variables that make a process of this program a server: its variant, and the collector's address.
const VARIANT: &str = "REQUEST_PATH_VARIANT";
const COLLECTOR: &str = "REQUEST_PATH_COLLECTOR";

fn main() {
    match std::env::var(VARIANT) {
        Ok(variant) => server(&variant),
        Err(_) => {
            benches();
            Criterion::default().configure_from_args().final_summary();
        }
    }
}

/// Serves on a socket in the working directory.
fn server(variant: &str) {
    let (name, call_path, per_million) = VARIANTS.into_iter().find(|known| known.0 == variant).unwrap();
    let traces = (per_million > 0).then(|| (std::env::var(COLLECTOR).unwrap(), per_million));
    let audit_log = (name == AUDITED).then(|| "audit.log".into());
    Server { call_path, audit_log, traces }.run(&Path::new(".").join(name));
}

/// The process of a server; killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn start(variant: &str, folder: &Path, collector: &str) -> Running {
    let mut server = Command::new(std::env::current_exe().unwrap());
    server.current_dir(folder).env(VARIANT, variant).env(COLLECTOR, collector);
    Running(server.spawn().unwrap())
}

fn request_path(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    for in_flight in [1, 64] {
        let mut group = criterion.benchmark_group(format!("encrypt_v2/{in_flight}_in_flight"));
        group.throughput(Throughput::Elements(1)).measurement_time(Duration::from_secs(10));
        for (name, ..) in VARIANTS {
            let collector = runtime.block_on(Collector::start_discarding());
            let _server = start(name, folder.path(), &collector.endpoint);
            let clients = clients(&runtime, &folder.path().join(name), in_flight);
            runtime.block_on(served(clients[0].clone()));
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter_custom(|requests| runtime.block_on(run(&clients, requests)));
            });
        }
        group.finish();
    }
}

/// Creates a client for each request in flight, on at most [`CONNECTIONS`] connections.
fn clients(runtime: &Runtime, socket: &Path, in_flight: usize) -> Vec<Client> {
    let _on = runtime.enter();
    let connections: Vec<Client> =
        (0..CONNECTIONS.min(in_flight)).map(|_| Client::new(socket.to_owned())).collect();
    connections.iter().cloned().cycle().take(in_flight).collect()
}

/// Waits until the server answers, up to [`STARTUP`].
async fn served(mut client: Client) {
    let polled = async {
        while client.version().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(STARTUP, polled)
        .await
        .expect("the server does not answer; what it printed says why");
}

/// Sends that many requests, spread over the clients, and returns the time until the last response.
async fn run(clients: &[Client], requests: u64) -> Duration {
    let start = Instant::now();
    let (each, remainder) = (requests / clients.len() as u64, requests % clients.len() as u64);
    let tasks: Vec<_> = clients
        .iter()
        .cloned()
        .enumerate()
        .map(|(index, mut client)| {
            let share = each + u64::from((index as u64) < remainder);
            tokio::spawn(async move {
                for _ in 0..share {
                    client.encrypt_v2(&DATA_KEY).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    start.elapsed()
}

criterion_group!(benches, request_path);
