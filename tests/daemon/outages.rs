//! Start before the vault, outage, return. The process never restarts by itself, and Status never errs.

use akv_emulator::{FaultSet, Faults};
use tonic::Code;

use crate::harness::Vault;

#[tokio::test]
async fn the_daemon_starts_before_the_vault_and_becomes_healthy_when_it_is_there() {
    let vault = Vault::start().await;
    let key_id = vault.key_id();
    let start = vault.daemon();
    let stopped = vault.stop().await;
    let mut daemon = start.listening().await;
    let status = daemon.client().until_status(false).await;
    assert_eq!((status.key_id, status.version.as_str()), (key_id, "v2beta1"));
    assert_eq!((daemon.get("/healthz").await.0, daemon.get("/livez").await.0), (500, 200));
    let _vault = Vault::restart(stopped).await;
    daemon.logs("\"Healthy\"").await;
    let log = daemon.log();
    assert!(log.contains("\"Unhealthy\""), "{log}");
    let mut failed = log.lines().filter(|line| line.contains("\"Request failed\""));
    assert!(failed.all(|line| line.ends_with(" probe=true")), "no client asked: {log}");
    daemon.client().round_trips().await.unwrap();
}

#[tokio::test]
async fn failed_requests_of_our_own_probes_are_marked_and_told_once_for_each_reason() {
    let vault = Vault::start().await;
    let mut daemon = vault.daemon().arg("-v=4").arg("--health-interval=200ms").healthy().await;
    let _stopped = vault.stop().await;
    daemon.logs_times("\"Request failed\"", 8).await;
    let log = daemon.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("\"Request failed\"")).collect();
    assert!(lines.iter().all(|line| line.ends_with(" probe=true")), "{lines:#?}");
    assert!(lines[0].starts_with('E') && lines[7].starts_with('I'), "{lines:#?}");
}

#[tokio::test]
async fn during_an_outage_status_answers_with_key_id_and_reason_and_recovers_after_it() {
    let vault = Vault::start().await;
    let mut daemon = vault.daemon().healthy().await;
    let key_id = vault.key_id();
    let stopped = vault.stop().await;
    let mut client = daemon.client();
    let status = client.until_status(false).await;
    assert_eq!(status.key_id, key_id);
    assert!(status.healthz.contains("key-vault"), "{}", status.healthz);
    assert_eq!(client.encrypt_v2(b"x").await.unwrap_err().code(), Code::Unavailable);
    assert_eq!((daemon.get("/readyz").await.0, daemon.get("/livez").await.0), (500, 200));
    let _vault = Vault::restart(stopped).await;
    daemon.logs_times("\"Healthy\"", 2).await;
    client.until_status(true).await;
    client.round_trips().await.unwrap();
}

#[tokio::test]
async fn single_failures_of_key_vault_cost_latency_and_no_error() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    let mut client = daemon.client();
    for fault in [
        FaultSet { error_rate: 0.1, status: Some(503), ..FaultSet::default() },
        FaultSet { reset_rate: 0.1, ..FaultSet::default() },
    ] {
        vault.emulator.set_faults(Faults { vault: fault, ..Faults::default() });
        for _ in 0..10 {
            client.round_trips().await.unwrap();
        }
    }
}

#[tokio::test]
async fn rubbish_from_key_vault_is_an_internal_error_and_no_more() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    let mut client = daemon.client();
    for body in [akv_emulator::BodyFault::Html, akv_emulator::BodyFault::Truncated] {
        let fault = FaultSet { body: Some(body), ..FaultSet::default() };
        vault.emulator.set_faults(Faults { vault: fault, ..Faults::default() });
        assert_eq!(client.encrypt_v2(b"x").await.unwrap_err().code(), Code::Internal);
    }
    vault.emulator.clear_faults();
    client.round_trips().await.unwrap();
}

#[tokio::test]
async fn a_silent_key_vault_costs_no_more_than_the_caller_s_deadline() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    let mut client = daemon.client();
    let slow = FaultSet { latency_ms: 60_000, ..FaultSet::default() };
    vault.emulator.set_faults(Faults { vault: slow, ..Faults::default() });
    let error = client.encrypt_v2(b"x").await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert!(error.message().contains("Key Vault"), "{}", error.message());
}
