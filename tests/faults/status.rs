//! The policy for Status: what can pass is coasted through, what cannot fails closed.

use akv_emulator::{FaultSet, Faults, KeyPatch};
use azure_kms_provider::proto::v2::StatusResponse;
use kms_testkit::TEST_TIMEOUT;
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::harness::{Client, Daemon, Vault};

/// Polls Status until that is what it answers.
async fn until(
    client: &mut Client,
    wanted: impl Fn(&Result<StatusResponse, Status>) -> bool,
) -> Result<StatusResponse, Status> {
    let polled = async {
        loop {
            let answer = client.status().await;
            if wanted(&answer) {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await; // between polls, as kube-apiserver does
        }
    };
    timeout(TEST_TIMEOUT, polled).await.expect("Status does not change so")
}

fn down() -> Faults {
    Faults { vault: FaultSet { reset_rate: 1.0, ..FaultSet::default() }, ..Faults::default() }
}

async fn daemon(vault: &Vault, args: &[&str]) -> Daemon {
    args.iter().fold(vault.daemon(), |start, arg| start.arg(*arg)).healthy().await
}

/// Status fails with that code and says why; liveness stays, and the process goes on.
async fn fails_closed(daemon: &Daemon, code: Code, reason: &str) {
    let refused = until(&mut daemon.client(), Result::is_err).await.unwrap_err();
    assert_eq!(refused.code(), code, "{refused:?}");
    assert!(refused.message().contains(reason), "{}", refused.message());
    assert_eq!((daemon.get("/readyz").await.0, daemon.get("/livez").await.0), (500, 200));
}

async fn recovers(vault: &Vault, daemon: &Daemon) {
    let is_ok =
        |answer: &Result<StatusResponse, _>| answer.as_ref().is_ok_and(|status| status.healthz == "ok");
    let status = until(&mut daemon.client(), is_ok).await.unwrap();
    assert_eq!(status.key_id, vault.key_id());
}

#[tokio::test]
async fn through_an_outage_status_coasts_with_the_key_id_and_the_reason() {
    let vault = Vault::start().await;
    let daemon = daemon(&vault, &[]).await;
    vault.emulator.set_faults(down());
    let status = daemon.client().until_status(false).await;
    assert_eq!(status.key_id, vault.key_id());
    assert!(status.healthz.contains("Key Vault cannot be reached"), "{}", status.healthz);
    vault.emulator.clear_faults();
    recovers(&vault, &daemon).await;
}

#[tokio::test]
async fn with_status_on_outage_fail_it_does_not_coast() {
    let vault = Vault::start().await;
    let daemon = daemon(&vault, &["--status-on-outage=fail"]).await;
    vault.emulator.set_faults(down());
    fails_closed(&daemon, Code::Unavailable, "Key Vault cannot be reached").await;
    vault.emulator.clear_faults();
    recovers(&vault, &daemon).await;
}

#[tokio::test]
async fn past_coast_limit_it_stops_coasting() {
    let vault = Vault::start().await;
    let daemon = daemon(&vault, &["--coast-limit=3s"]).await;
    vault.emulator.set_faults(down());
    daemon.client().until_status(false).await;
    fails_closed(&daemon, Code::Unavailable, "Key Vault cannot be reached").await;
    vault.emulator.clear_faults();
    recovers(&vault, &daemon).await;
}

#[tokio::test]
async fn a_disabled_key_fails_closed_until_it_is_enabled() {
    let vault = Vault::start().await;
    let daemon = daemon(&vault, &[]).await;
    let enable = |enabled| {
        let info = vault.emulator.info();
        let patch = KeyPatch { enabled: Some(enabled), ..KeyPatch::default() };
        vault.emulator.update_key(&info.key_name, &info.key_versions[0], patch).unwrap();
    };
    enable(false);
    fails_closed(&daemon, Code::FailedPrecondition, "disabled").await;
    enable(true);
    recovers(&vault, &daemon).await;
}

#[tokio::test]
async fn a_key_whose_key_ops_lack_the_operation_fails_closed_and_the_identity_is_not_blamed() {
    let vault = Vault::start().await;
    let daemon = daemon(&vault, &[]).await;
    let allow = |operations: &[&str]| {
        let operations = Some(operations.iter().map(|name| (*name).to_owned()).collect());
        let (info, patch) = (vault.emulator.info(), KeyPatch { operations, ..KeyPatch::default() });
        vault.emulator.update_key(&info.key_name, &info.key_versions[0], patch).unwrap();
    };
    allow(&["sign"]);
    fails_closed(&daemon, Code::FailedPrecondition, "the key does not allow this operation").await;
    assert!(!daemon.get("/healthz/key-vault").await.1.contains("identity"));
    allow(&["encrypt", "decrypt"]);
    recovers(&vault, &daemon).await;
}

#[tokio::test]
async fn a_refusal_a_missing_key_and_another_key_fail_closed() {
    let vault = Vault::start().await;
    let daemon = daemon(&vault, &[]).await;
    let failing = |status| FaultSet { error_rate: 1.0, status: Some(status), ..FaultSet::default() };
    for (fault, code, reason) in [
        (failing(403), Code::PermissionDenied, "refuses"),
        (failing(404), Code::NotFound, "does not exist"),
        (FaultSet { wrong_kid: true, ..FaultSet::default() }, Code::FailedPrecondition, "another key"),
    ] {
        vault.emulator.set_faults(Faults { vault: fault, ..Faults::default() });
        fails_closed(&daemon, code, reason).await;
        vault.emulator.clear_faults();
        recovers(&vault, &daemon).await;
    }
}

#[tokio::test]
async fn while_a_token_lives_an_outage_of_entra_id_is_no_outage() {
    let vault = Vault::start().await;
    let daemon = daemon(&vault, &[]).await;
    let dead = FaultSet { error_rate: 1.0, status: Some(503), ..FaultSet::default() };
    vault.emulator.set_faults(Faults { entra: dead, ..Faults::default() });
    daemon.inject("token", "panic").await;
    for _ in 0..10 {
        daemon.client().round_trips().await.unwrap();
        assert_eq!(daemon.client().status().await.unwrap().healthz, "ok");
    }
}

#[tokio::test]
async fn an_idle_plugin_asks_key_vault_in_every_fourth_round_only() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().arg("--health-interval=50ms").healthy().await;
    let rounds = async {
        loop {
            let metrics = daemon.metrics().await;
            let versions = r#"azure_kms_requests_total{api="v1",method="version",code="OK"} "#;
            let rounds = metrics.lines().find_map(|line| line.strip_prefix(versions)?.parse::<u64>().ok());
            if let Some(rounds) = rounds.filter(|rounds| *rounds >= 60) {
                return (rounds, metrics);
            }
        }
    };
    let (rounds, metrics) = timeout(TEST_TIMEOUT, rounds).await.unwrap();
    let calls = metrics.lines().find_map(|line| line.strip_prefix("azure_kms_key_vault_probe_calls_total "));
    let calls: u64 = calls.unwrap().parse().unwrap();
    // two calls in every fourth round; both APIs and the key at the start
    assert!(calls <= rounds / 2 + 7, "{calls} calls in {rounds} rounds");
}
