//! What is refused before it costs a call to Key Vault, and what waits its turn.

use std::time::Duration;

use akv_emulator::{FaultSet, Faults};
use azure_kms_provider::proto::v1beta1::EncryptRequest;
use tonic::Code;

use crate::harness::{Start, Vault};

#[tokio::test]
async fn empty_and_oversize_requests_are_invalid_and_name_the_limit_without_a_call_to_key_vault() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().arg("--health-interval=1h").healthy().await;
    let mut client = daemon.client();
    client.status().await.unwrap(); // answered after the first round of the health check
    vault.emulator.reset_stats();
    for (error, limit) in [
        (client.encrypt_v1(b"").await.unwrap_err(), "empty"),
        (client.encrypt_v2(b"").await.unwrap_err(), "empty"),
        (client.decrypt_v1(b"").await.unwrap_err(), "empty"),
        (client.encrypt_v1(&[1; 246]).await.unwrap_err(), "245 bytes"),
        (client.encrypt_v2(&[1; 191]).await.unwrap_err(), "190 bytes"),
        (client.encrypt_v2(&[1; 140_000]).await.unwrap_err(), "131072 bytes"),
        (client.decrypt_v1(&[1; 140_000]).await.unwrap_err(), "131072 bytes"),
    ] {
        assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
        assert!(error.message().contains(limit), "{}", error.message());
    }
    assert_eq!((vault.emulator.stats().calls("encrypt"), vault.emulator.stats().calls("decrypt")), (0, 0));
    assert!(client.encrypt_v1(&[1; 245]).await.is_ok() && client.encrypt_v2(&[1; 190]).await.is_ok());
}

/// Makes 100 calls more than may run and wait, on so many connections: exactly those are refused.
async fn refuses_beyond_the_queue(max_in_flight: usize, connections: usize) {
    let vault = Vault::start().await;
    let flag = format!("--max-in-flight={max_in_flight}");
    let daemon = vault.daemon().arg(flag).arg("--health-interval=1h").healthy().await;
    let slow = FaultSet { latency_ms: 20_000, ..FaultSet::default() };
    vault.emulator.set_faults(Faults { vault: slow, ..Faults::default() });
    let connections: Vec<_> = (0..connections).map(|_| daemon.client()).collect();
    let mut calls = tokio::task::JoinSet::new();
    for call in 0..max_in_flight + 1000 + 100 {
        let mut client = connections[call % connections.len()].clone();
        calls.spawn(async move {
            let request = EncryptRequest { version: "v1beta1".into(), plain: b"x".to_vec() };
            client.v1.encrypt(request).await.unwrap_err()
        });
    }
    for _ in 0..100 {
        let refused = calls.join_next().await.unwrap().unwrap();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert_eq!(
            refused.message(),
            format!("{max_in_flight} operations run and 1000 wait: the queue is full")
        );
    }
    let metrics = daemon.metrics().await;
    for line in
        ["azure_kms_requests_queued 1000".into(), format!("azure_kms_requests_in_flight {max_in_flight}\n")]
    {
        assert!(metrics.contains(&line), "{metrics}");
    }
}

#[tokio::test]
async fn beyond_the_queue_requests_are_refused_at_once() {
    refuses_beyond_the_queue(1, 10).await;
}

#[tokio::test]
async fn a_thousand_wait_at_a_large_max_in_flight_too_even_on_one_connection() {
    refuses_beyond_the_queue(600, 1).await;
}

#[tokio::test]
async fn operations_beyond_max_in_flight_wait_and_are_served() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().arg("--max-in-flight=2").healthy().await;
    let slow = FaultSet { latency_ms: 50, ..FaultSet::default() };
    vault.emulator.set_faults(Faults { vault: slow, ..Faults::default() });
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let mut client = daemon.client();
            tokio::spawn(async move { client.encrypt_v2(b"x").await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_rate_limit_refuses_what_cannot_be_in_time() {
    let vault = Vault::start().await;
    let flags = ["--keyvault-qps=1", "--keyvault-burst=4", "--health-interval=1h"];
    let daemon = flags.into_iter().fold(vault.daemon(), Start::arg).healthy().await;
    let mut client = daemon.client();
    // the health check and the warm-up took three of the four
    let mut codes = Vec::new();
    for _ in 0..3 {
        let mut request =
            tonic::Request::new(EncryptRequest { version: "v1beta1".into(), plain: b"x".to_vec() });
        request.set_timeout(Duration::from_millis(400));
        codes.push(client.v1.encrypt(request).await.map_or_else(|status| status.code(), |_| Code::Ok));
    }
    assert!(codes.contains(&Code::ResourceExhausted), "{codes:?}");
}
