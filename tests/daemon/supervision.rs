//! Actors that fail, under load: the caller sees latency, not an error.

use crate::harness::{Load, Vault};

async fn survives(actor: &str, fault: &str, reason: &str) {
    let vault = Vault::start().await;
    let mut daemon = vault.daemon().healthy().await;
    let load = Load::start(&daemon, 8);
    for generation in 2..=3 {
        daemon.inject(actor, fault).await;
        daemon.logs(&format!("\"Actor started\" actor=\"{actor}\" generation={generation}")).await;
        daemon.client().round_trips().await.unwrap();
    }
    let (served, failures) = load.stop().await;
    assert!(served > 0 && failures.is_empty(), "{served} served, {failures:?}");
    let failed = format!("\"Actor failed\" actor=\"{actor}\" generation=1 reason=\"{reason}\"");
    assert!(daemon.log().contains(&failed), "{}", daemon.log());
    let counted = format!(r#"azure_kms_actor_restarts_total{{actor="{actor}",reason="{reason}"}} 2"#);
    assert!(daemon.metrics().await.contains(&counted));
    daemon.client().until_status(true).await;
}

#[tokio::test]
async fn a_panic_of_the_key_vault_actor_under_load_fails_no_call() {
    survives("key-vault", "panic", "panic").await;
}

#[tokio::test]
async fn a_stop_of_the_key_vault_actor_under_load_fails_no_call() {
    survives("key-vault", "stop", "stopped").await;
}

#[tokio::test]
async fn a_stall_of_the_key_vault_actor_s_thread_under_load_fails_no_call() {
    survives("key-vault", "stall", "hung").await;
}

#[tokio::test]
async fn a_panic_of_the_token_actor_under_load_fails_no_call() {
    survives("token", "panic", "panic").await;
}

#[tokio::test]
async fn a_panic_of_the_health_actor_under_load_fails_no_call() {
    survives("health", "panic", "panic").await;
}

#[tokio::test]
async fn a_stalled_actor_is_replaced_on_another_thread() {
    let vault = Vault::start().await;
    let mut daemon = vault.daemon().healthy().await;
    for actor in ["key-vault", "token", "health"] {
        daemon.inject(actor, "stall").await;
        daemon.logs(&format!("\"Actor failed\" actor=\"{actor}\" generation=1 reason=\"hung\"")).await;
        daemon.logs(&format!("\"Actor started\" actor=\"{actor}\" generation=2")).await;
    }
    daemon.client().round_trips().await.unwrap();
    daemon.client().until_status(true).await;
}

#[tokio::test]
async fn past_five_restarts_in_a_minute_the_process_drains_and_exits_1() {
    let vault = Vault::start().await;
    let mut daemon = vault.daemon().healthy().await;
    for generation in 1..=6 {
        daemon.logs(&format!("\"Actor started\" actor=\"health\" generation={generation}")).await;
        daemon.inject("health", "panic").await;
    }
    assert_eq!(daemon.exit().await.code(), Some(1));
    assert!(daemon.log().contains("giving up"), "{}", daemon.log());
    assert!(!daemon.socket.exists());
}
