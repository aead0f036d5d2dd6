//! Refresh ahead of need, and tokens that Key Vault does not accept.

use std::time::Duration;

use akv_emulator::{FaultSet, Faults, Unauthorized};
use tonic::Code;

use crate::harness::{Load, Vault};

#[tokio::test]
async fn tokens_are_refreshed_under_load_without_a_failed_call() {
    let vault = Vault::start().await;
    vault.emulator.set_token_lifetime(Duration::from_secs(6));
    let mut daemon = vault.daemon().arg("-v=2").healthy().await;
    let load = Load::start(&daemon, 4);
    daemon.logs_times("Token refreshed", 3).await;
    let (served, failures) = load.stop().await;
    assert!(served > 0 && failures.is_empty(), "{served} served, {failures:?}");
    assert!(vault.emulator.stats().calls("unauthorized") <= 2, "no call was made with an expired token");
}

#[tokio::test]
async fn revoked_tokens_are_replaced_under_load_without_a_failed_call() {
    let vault = Vault::start().await;
    let mut daemon = vault.daemon().arg("-v=2").healthy().await;
    let load = Load::start(&daemon, 4);
    vault.emulator.revoke_tokens();
    daemon.logs_times("Token refreshed", 2).await;
    daemon.client().round_trips().await.unwrap();
    let (served, failures) = load.stop().await;
    assert!(served > 0 && failures.is_empty(), "{served} served, {failures:?}");
    assert_eq!(vault.emulator.stats().tokens_issued, 2);
}

#[tokio::test]
async fn a_single_401_is_healed_within_the_call() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    let mut client = daemon.client();
    let once = FaultSet { unauthorized: Some(Unauthorized::Once), ..FaultSet::default() };
    vault.emulator.set_faults(Faults { vault: once, ..Faults::default() });
    client.round_trips().await.unwrap();
}

#[tokio::test]
async fn a_401_to_every_token_is_unauthenticated_and_does_not_flood_entra() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    let mut client = daemon.client();
    vault.emulator.reset_stats();
    let always = FaultSet { unauthorized: Some(Unauthorized::Always), ..FaultSet::default() };
    vault.emulator.set_faults(Faults { vault: always, ..Faults::default() });
    let start = std::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(client.encrypt_v1(b"x").await.unwrap_err().code(), Code::Unauthenticated);
    }
    // two in the first moment, then one after at least 1 s, 2 s, 4 s, ...
    let (stats, seconds) = (vault.emulator.stats(), start.elapsed().as_secs());
    assert!(stats.tokens_issued <= 2 + u64::from(seconds.checked_ilog2().map_or(0, |n| n + 1)), "{stats:?}");
}

#[tokio::test]
async fn a_valid_token_is_used_while_entra_is_down() {
    let vault = Vault::start().await;
    vault.emulator.set_token_lifetime(Duration::from_secs(20));
    let mut daemon = vault.daemon().healthy().await;
    let down = FaultSet { error_rate: 1.0, status: Some(503), ..FaultSet::default() };
    vault.emulator.set_faults(Faults { entra: down, ..Faults::default() });
    daemon.inject("token", "panic").await;
    daemon.logs("Token refresh failed").await;
    daemon.client().round_trips().await.unwrap();
    assert_eq!(daemon.get("/healthz/token").await.0, 200);
}
