//! What the actor costs a request: socket → actor → vault → back, beside the same server without the actor. And what the
//! audit log and traces cost on top.
//!
//! `cargo bench --bench request_path`. Each server is a process of its own, as traces are on or off for a whole process.
//! Its vault is in it and answers at once; client and servers share the machine's cores.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use azure_kms_provider::benchmark::{Server, Through};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use kms_testkit::{Client, Collector};
use tokio::runtime::Runtime;

/// Connections of the client; kube-apiserver has one for each provider entry.
const CONNECTIONS: usize = 4;
/// Longer than a server takes to start.
const STARTUP: Duration = Duration::from_secs(10);
/// As long as the data keys of kube-apiserver.
const DATA_KEY: [u8; 32] = [7; 32];
/// What is measured, with its share of traced requests in a million.
const VARIANTS: [(&str, Through, u32); 5] = [
    ("handlers", Through::Handlers, 0),
    ("actor", Through::Actor, 0),
    (AUDITED, Through::Actor, 0),
    ("traced-1%", Through::Actor, 10_000),
    ("traced-100%", Through::Actor, 1_000_000),
];
const AUDITED: &str = "audited";
/// Tells a process of this program that it is the server: the variant, and the collector.
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

/// Serves in the folder that this process runs in.
fn server(variant: &str) {
    let (name, through, per_million) = VARIANTS.into_iter().find(|known| known.0 == variant).unwrap();
    let traces = (per_million > 0).then(|| (std::env::var(COLLECTOR).unwrap(), per_million));
    let audit_log = (name == AUDITED).then(|| "audit.log".into());
    Server { through, audit_log, traces }.run(&Path::new(".").join(name));
}

/// A server's process; killed when dropped.
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

/// As many clients as requests are to be in flight.
fn clients(runtime: &Runtime, socket: &Path, in_flight: usize) -> Vec<Client> {
    let _on = runtime.enter();
    let connections: Vec<Client> =
        (0..CONNECTIONS.min(in_flight)).map(|_| Client::new(socket.to_owned())).collect();
    connections.iter().cloned().cycle().take(in_flight).collect()
}

/// Waits until the server answers, and not for one that has ended.
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

/// Shares so many requests among the clients, and gives the time until the last is answered.
async fn run(clients: &[Client], requests: u64) -> Duration {
    let start = Instant::now();
    let (each, more) = (requests / clients.len() as u64, requests % clients.len() as u64);
    let tasks: Vec<_> = clients
        .iter()
        .cloned()
        .enumerate()
        .map(|(index, mut client)| {
            let share = each + u64::from((index as u64) < more);
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
