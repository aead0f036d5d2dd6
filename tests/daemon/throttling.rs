//! Key Vault's 429.

use akv_emulator::{FaultSet, Faults};
use tonic::Code;

use crate::harness::Vault;

fn throttle(limit: u32, retry_after_s: Option<u64>) -> Faults {
    let vault = FaultSet { throttle_per_10s: Some(limit), retry_after_s, ..FaultSet::default() };
    Faults { vault, ..Faults::default() }
}

#[tokio::test]
async fn throttling_past_the_deadline_is_resource_exhausted_and_counted() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().arg("--health-interval=1h").healthy().await;
    daemon.client().status().await.unwrap();
    for retry_after in [None, Some(60)] {
        vault.emulator.set_faults(throttle(0, retry_after));
        let error = daemon.client().encrypt_v2(b"x").await.unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted);
        assert!(error.message().contains("throttled by Key Vault"), "{}", error.message());
    }
    let metrics = daemon.metrics().await;
    let counted = metrics.lines().find_map(|line| line.strip_prefix("azure_kms_key_vault_throttled_total "));
    assert_eq!(counted.unwrap().parse::<u64>().unwrap(), vault.emulator.stats().throttled);
}

#[tokio::test]
async fn a_retry_after_beyond_the_deadline_is_not_tried_again() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().arg("--health-interval=1h").healthy().await;
    daemon.client().status().await.unwrap();
    vault.emulator.reset_stats();
    vault.emulator.set_faults(throttle(0, Some(60)));
    daemon.client().encrypt_v2(b"x").await.unwrap_err();
    assert_eq!(vault.emulator.stats().throttled, 1);
}
