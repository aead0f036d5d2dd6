//! What the actor costs a request: socket → actor → vault → back, beside the same server without the actor. And what the
//! audit log costs on top.
//!
//! `cargo bench --bench request_path`. The vault is in the process and answers at once; client and server share the
//! machine's cores.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::time::{Duration, Instant};

use azure_kms_provider::benchmark::{Through, serve};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kms_testkit::Client;
use tokio::runtime::Runtime;

/// Connections of the client; kube-apiserver has one for each provider entry.
const CONNECTIONS: usize = 4;
/// As long as the data keys of kube-apiserver.
const DATA_KEY: [u8; 32] = [7; 32];

fn request_path(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    for in_flight in [1, 64] {
        let mut group = criterion.benchmark_group(format!("encrypt_v2/{in_flight}_in_flight"));
        group.throughput(Throughput::Elements(1)).measurement_time(Duration::from_secs(10));
        for (name, through, audited) in [
            ("handlers", Through::Handlers, false),
            ("actor", Through::Actor, false),
            ("audited", Through::Actor, true),
        ] {
            let audit = audited.then(|| folder.path().join("audit.log"));
            let socket = folder.path().join(format!("{name}-{in_flight}.socket"));
            serve(&socket, through, audit.as_deref());
            let clients = clients(&runtime, &socket, in_flight);
            let name = BenchmarkId::from_parameter(name);
            group.bench_function(name, |bencher| {
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
criterion_main!(benches);
