//! The call engine: what a slow, throttling, hung or dead Key Vault costs.

use akv_emulator::{FaultSet, Faults};
use kms_testkit::TEST_TIMEOUT;
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::harness::{Client, Daemon, Load, Vault};

fn vault_faults(vault: FaultSet) -> Faults {
    Faults { vault, ..Faults::default() }
}

fn slow(latency_ms: u64) -> Faults {
    vault_faults(FaultSet { latency_ms, ..FaultSet::default() })
}

/// Without probes of its own after the first.
async fn quiet(vault: &Vault, args: &[&str]) -> Daemon {
    let start = args.iter().fold(vault.daemon().arg("--health-interval=1h"), |start, arg| start.arg(*arg));
    let daemon = start.healthy().await;
    daemon.client().status().await.unwrap();
    daemon
}

#[tokio::test]
async fn a_connection_that_hangs_costs_latency_and_no_error() {
    let vault = Vault::start().await;
    let mut daemon = vault.daemon().arg("-v=4").healthy().await; // without it only the first one is told
    let load = Load::start(&daemon, 8);
    for replaced in 1..=3 {
        load.more_round_trips(50).await;
        vault.emulator.hang_connections();
        daemon.logs_times("another one takes its place", replaced).await;
    }
    load.more_round_trips(50).await;
    let (_, failures) = load.stop().await;
    assert!(failures.is_empty(), "{failures:?}");
    assert!(!daemon.metrics().await.contains("azure_kms_key_vault_hedges_won_total 0"));
}

#[tokio::test]
async fn a_token_is_fetched_on_a_connection_of_its_own_whatever_became_of_earlier_ones() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    vault.emulator.hang_connections();
    vault.emulator.revoke_tokens();
    daemon.client().with_test_timeout().encrypt_v1(b"x").await.unwrap();
    let metrics = daemon.metrics().await;
    assert!(metrics.contains("azure_kms_token_refreshes_total{result=\"success\"} 2"), "{metrics}");
    assert!(!metrics.contains("azure_kms_token_refreshes_total{result=\"error\"}"), "{metrics}");
}

#[tokio::test]
async fn while_key_vault_asks_to_wait_nobody_calls_it() {
    let vault = Vault::start().await;
    let daemon = quiet(&vault, &[]).await;
    let throttle = FaultSet { throttle_per_10s: Some(0), retry_after_s: Some(60), ..FaultSet::default() };
    vault.emulator.reset_stats();
    vault.emulator.set_faults(vault_faults(throttle));
    let mut client = daemon.client();
    for _ in 0..20 {
        let error = client.encrypt_v2(b"x").await.unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted);
        assert!(error.message().starts_with("throttled by Key Vault"), "{}", error.message());
    }
    assert_eq!(vault.emulator.stats().throttled, 1);
}

#[tokio::test]
async fn calls_that_are_throttled_for_a_moment_wait_for_it_to_pass() {
    let vault = Vault::start().await;
    let daemon = quiet(&vault, &[]).await;
    let throttle = FaultSet { throttle_per_10s: Some(0), retry_after_s: Some(1), ..FaultSet::default() };
    vault.emulator.set_faults(vault_faults(throttle));
    let calls: Vec<_> = (0..20).map(|_| spawn(daemon.client(), Call::Encrypt)).collect();
    let throttled = async {
        while vault.emulator.stats().throttled == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(TEST_TIMEOUT, throttled).await.unwrap();
    vault.emulator.clear_faults();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

async fn tells(faults: Faults, cause: &str) {
    let vault = Vault::start().await;
    let daemon = quiet(&vault, &[]).await;
    vault.emulator.set_faults(faults);
    let message = daemon.client().encrypt_v2(b"x").await.unwrap_err().message().to_owned();
    let (told, took) = message.rsplit_once(" in ").unwrap();
    assert!(told.starts_with(cause) && told.contains(" attempt"), "{message}");
    let seconds: f64 = took.trim_end_matches(" s").parse().unwrap();
    assert!((1.0..3.1).contains(&seconds), "{message}");
}

#[tokio::test]
async fn when_time_is_up_the_caller_learns_the_true_cause() {
    let failing = |status| FaultSet { error_rate: 1.0, status: Some(status), ..FaultSet::default() };
    let throttling = FaultSet { retry_after_s: Some(1), ..failing(429) };
    tells(vault_faults(failing(503)), "Key Vault answers with a server error (HTTP 503").await;
    tells(vault_faults(throttling), "throttled by Key Vault (HTTP 429").await;
    tells(slow(60_000), "Key Vault does not answer").await;
}

#[derive(Clone)]
enum Call {
    Encrypt,
    Decrypt(Vec<u8>),
}

fn spawn(mut client: Client, call: Call) -> tokio::task::JoinHandle<Result<(), Status>> {
    tokio::spawn(async move {
        match call {
            Call::Encrypt => client.encrypt_v1(b"x").await.map(drop),
            Call::Decrypt(sealed) => client.decrypt_v1(&sealed).await.map(drop),
        }
    })
}

#[tokio::test]
async fn a_waiting_decrypt_goes_before_encrypts_that_came_earlier() {
    let vault = Vault::start().await;
    let daemon = quiet(&vault, &["--max-in-flight=1"]).await;
    let sealed = daemon.client().encrypt_v1(b"x").await.unwrap();
    vault.emulator.reset_stats();
    vault.emulator.set_faults(slow(2_500));
    let first = spawn(daemon.client(), Call::Encrypt);
    daemon.until_metric("azure_kms_requests_in_flight", |value| value == 1).await;
    let later: Vec<_> = (0..2).map(|_| spawn(daemon.client(), Call::Encrypt)).collect();
    daemon.until_metric("azure_kms_requests_queued", |value| value == 2).await;
    vault.emulator.clear_faults(); // what is under way stays slow
    spawn(daemon.client(), Call::Decrypt(sealed)).await.unwrap().unwrap();
    assert!(first.is_finished() && later.iter().all(|encrypt| !encrypt.is_finished()));
}

#[tokio::test]
async fn callers_that_have_gone_cost_no_call() {
    let vault = Vault::start().await;
    let daemon = quiet(&vault, &["--max-in-flight=1"]).await;
    vault.emulator.reset_stats();
    vault.emulator.set_faults(slow(2_500));
    let first = spawn(daemon.client(), Call::Encrypt);
    daemon.until_metric("azure_kms_requests_in_flight", |value| value == 1).await;
    let gone: Vec<_> = (0..20).map(|_| spawn(daemon.client(), Call::Encrypt)).collect();
    daemon.until_metric("azure_kms_requests_queued", |value| value == 20).await;
    gone.iter().for_each(tokio::task::JoinHandle::abort);
    daemon.until_metric("azure_kms_requests_queued", |value| value == 0).await;
    first.await.unwrap().unwrap();
    vault.emulator.clear_faults();
    daemon.client().encrypt_v1(b"x").await.unwrap();
    let hedges = daemon.metric("azure_kms_key_vault_hedges_total").await;
    let calls = vault.emulator.stats().calls("encrypt");
    assert!((2..=2 + hedges).contains(&calls), "{calls} calls, {hedges} second attempts");
}

#[tokio::test]
async fn the_same_decrypt_asked_by_many_at_once_costs_one_call() {
    let vault = Vault::start().await;
    let daemon = quiet(&vault, &[]).await;
    let sealed = daemon.client().encrypt_v1(b"x").await.unwrap();
    vault.emulator.reset_stats();
    vault.emulator.set_faults(slow(2_000));
    let calls: Vec<_> = (0..50).map(|_| spawn(daemon.client(), Call::Decrypt(sealed.clone()))).collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let hedges = daemon.metric("azure_kms_key_vault_hedges_total").await;
    let calls = vault.emulator.stats().calls("decrypt");
    assert!((1..=1 + hedges).contains(&calls), "{calls} calls, {hedges} second attempts");
}

#[tokio::test]
async fn a_vault_that_is_down_fails_fast_with_the_reason_and_is_found_when_it_returns() {
    let vault = Vault::start().await;
    let mut daemon = vault.daemon().healthy().await;
    let down = FaultSet { reset_rate: 1.0, ..FaultSet::default() };
    vault.emulator.set_faults(vault_faults(down));
    let load = Load::of((0..8).map(|_| daemon.client().with_test_timeout()));
    daemon.logs("\"Key Vault is down: calls fail at once\"").await;
    let fast = |status: &Status| status.message().contains("calls fail at once until it answers");
    while !fast(&daemon.client().encrypt_v1(b"x").await.unwrap_err()) {} // it was the probe
    vault.emulator.clear_faults();
    daemon.logs("\"Key Vault answers again\"").await;
    load.more_round_trips(50).await;
    let (_, failures) = load.stop().await;
    assert!(failures.iter().all(|status| status.code() == Code::Unavailable), "{failures:?}");
    assert!(failures.iter().all(|status| status.message().starts_with("Key Vault cannot be reached")));
    daemon.client().until_status(true).await;
}

#[tokio::test]
async fn a_restarted_key_vault_actor_is_warm_before_it_takes_traffic() {
    let vault = Vault::start().await;
    let mut daemon = quiet(&vault, &[]).await;
    vault.emulator.reset_stats();
    vault.emulator.set_faults(slow(300));
    daemon.inject("key-vault", "panic").await;
    daemon.logs("\"Actor started\" actor=\"key-vault\" generation=2").await;
    daemon.client().encrypt_v1(b"x").await.unwrap();
    let stats = vault.emulator.stats();
    assert_eq!((stats.calls("get"), stats.calls("encrypt"), stats.tls_handshakes), (1, 1, 1));
}
