//! Ends: what is in flight is finished.

use akv_emulator::{FaultSet, Faults};
use rustix::process::Signal;

use crate::harness::Vault;

async fn drains_after(signal: Signal) {
    let vault = Vault::start().await;
    let mut daemon = vault.daemon().healthy().await;
    let slow = FaultSet { latency_ms: 2_000, ..FaultSet::default() };
    vault.emulator.set_faults(Faults { vault: slow, ..Faults::default() });
    vault.emulator.reset_stats();
    let mut clients: Vec<_> = (0..50).map(|_| daemon.client()).collect();
    for client in &mut clients {
        client.status().await.unwrap(); // the connection is made
    }
    let calls: Vec<_> = clients
        .into_iter()
        .map(|mut client| tokio::spawn(async move { client.encrypt_v2(b"in flight").await }))
        .collect();
    daemon.has_in_flight(50).await;
    daemon.signal(signal);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(daemon.exit().await.code(), Some(0));
    assert!(!daemon.socket.exists());
}

#[tokio::test]
async fn sigterm_finishes_fifty_requests_in_flight_and_exits_0() {
    drains_after(Signal::TERM).await;
}

#[tokio::test]
async fn sigint_does_the_same() {
    drains_after(Signal::INT).await;
}

#[tokio::test]
async fn a_second_signal_exits_at_once() {
    let vault = Vault::start().await;
    let mut daemon = vault.daemon().healthy().await;
    let stuck = FaultSet { latency_ms: 60_000, ..FaultSet::default() };
    vault.emulator.set_faults(Faults { vault: stuck, ..Faults::default() });
    let mut client = daemon.client();
    let call = tokio::spawn(async move { client.encrypt_v2(b"stuck").await });
    daemon.has_in_flight(1).await;
    daemon.terminate();
    daemon.logs("Draining").await;
    daemon.terminate();
    assert_eq!(daemon.exit().await.code(), Some(1));
    assert!(call.await.unwrap().is_err());
}
