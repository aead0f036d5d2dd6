//! Clients that never pause, and what became of each of their calls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use kms_testkit::{Client, Daemon};
use tokio::task::JoinHandle;
use tonic::Status;

/// The outcomes of the calls.
#[derive(Default)]
pub(crate) struct Calls {
    /// Durations in µs of the calls that succeeded.
    pub(crate) served: Vec<u32>,
    /// Failures by cause, outside of outages.
    pub(crate) failed: BTreeMap<String, u64>,
    /// Failures in announced outages.
    pub(crate) excused: u64,
    /// Another plaintext came back.
    pub(crate) wrong: u64,
}

/// The running clients.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    outage: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Calls>>,
}

impl Load {
    /// Starts them, each on a connection of its own.
    pub(crate) fn start(daemon: &Daemon, clients: usize) -> Self {
        let (stop, outage) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let start = |number| {
            let client = daemon.client();
            tokio::spawn(client_loop(client, number, stop.clone(), outage.clone()))
        };
        Self { clients: (0..clients).map(start).collect(), stop, outage }
    }

    /// From now on failures are excused, or no more.
    pub(crate) fn announce_outage(&self, announced: bool) {
        self.outage.store(announced, Ordering::SeqCst);
    }

    /// Ends them, and adds up.
    pub(crate) async fn stop(self) -> Calls {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Calls::default();
        for client in self.clients {
            let calls = client.await.unwrap_or_default();
            all.served.extend(calls.served);
            all.excused += calls.excused;
            all.wrong += calls.wrong;
            for (cause, count) in calls.failed {
                *all.failed.entry(cause).or_default() += count;
            }
        }
        all.served.sort_unstable();
        all
    }
}

async fn client_loop(
    mut client: Client,
    number: usize,
    stop: Arc<AtomicBool>,
    outage: Arc<AtomicBool>,
) -> Calls {
    let mut calls = Calls::default();
    for turn in 0u64.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let plaintext = format!("client {number:>4}, turn {turn:>12}");
        let excused = || outage.load(Ordering::SeqCst);
        let before = excused();
        match round_trip(&mut client, turn, plaintext.as_bytes(), &mut calls).await {
            Ok(()) => {}
            Err(_) if before || excused() => calls.excused += 1,
            Err(status) => {
                let cause = format!("{:?}: {}", status.code(), status.message());
                *calls.failed.entry(cause).or_default() += 1;
            }
        }
    }
    calls
}

/// Encrypts and decrypts once, by v1 and v2 in turn.
///
/// # Errors
/// One of the two calls fails: its gRPC status.
async fn round_trip(
    client: &mut Client,
    turn: u64,
    plaintext: &[u8],
    calls: &mut Calls,
) -> Result<(), Status> {
    let decrypted = if turn.is_multiple_of(2) {
        let encrypted = timed(calls, client.encrypt_v1(plaintext)).await?;
        timed(calls, client.decrypt_v1(&encrypted)).await?
    } else {
        let encrypted = timed(calls, client.encrypt_v2(plaintext)).await?;
        timed(calls, client.decrypt_v2(encrypted)).await?
    };
    calls.wrong += u64::from(decrypted != plaintext);
    Ok(())
}

/// Waits for the call, and records its duration if it succeeds.
///
/// # Errors
/// The call fails: its gRPC status.
async fn timed<T>(calls: &mut Calls, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let start = Instant::now();
    let answer = call.await?;
    calls.served.push(u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX));
    Ok(answer)
}
