//! The restart limit. What single faults cost is the matrix in `tests/faults/supervision.rs`.

use crate::harness::{Daemon, Start, Vault};

/// Makes the health actor panic as soon as each of these generations runs.
async fn crash(daemon: &mut Daemon, generations: std::ops::RangeInclusive<u32>) {
    for generation in generations {
        daemon.logs(&format!("\"Actor started\" actor=\"health\" generation={generation}")).await;
        daemon.inject("health", "panic").await;
    }
}

#[tokio::test]
async fn past_the_restart_limit_the_process_drains_and_exits_1() {
    let vault = Vault::start().await;
    let mut daemon = vault.daemon().arg("--actor-restart-limit=5").healthy().await;
    crash(&mut daemon, 1..=6).await;
    assert_eq!(daemon.exit().await.code(), Some(1));
    let passed = r#""Restart limit passed, giving up" actor="health" limit="more than 5 restarts in 60s""#;
    assert!(daemon.log().contains(passed), "{}", daemon.log());
    assert!(!daemon.socket.exists());
}

#[tokio::test]
async fn past_the_restart_limit_the_process_goes_on_if_told_to() {
    let vault = Vault::start().await;
    let flags = [
        "--actor-restart-limit=2",
        "--actor-restart-backoff=10ms",
        "--actor-restart-backoff-max=50ms",
        "--actor-restart-limit-action=retry",
    ];
    let mut daemon = flags.into_iter().fold(vault.daemon(), Start::arg).healthy().await;
    crash(&mut daemon, 1..=8).await;
    daemon.logs("\"Actor started\" actor=\"health\" generation=9").await;
    daemon.client().round_trips().await.unwrap();
    daemon.client().until_status(true).await;
    assert_eq!(daemon.log().matches("Restart limit passed, going on slowly").count(), 1, "{}", daemon.log());
}

#[tokio::test]
async fn an_actor_that_is_being_restarted_takes_no_fault() {
    let vault = Vault::start().await;
    let flags = ["--actor-restart-backoff=1h", "--actor-restart-backoff-max=1h"];
    let mut daemon = flags.into_iter().fold(vault.daemon(), Start::arg).healthy().await;
    daemon.inject("reload", "stop").await;
    daemon.logs("\"Actor failed\" actor=\"reload\"").await;
    let refused = daemon.try_inject("reload", "stop").await.unwrap_err();
    assert!(refused.contains("503") && refused.contains("being restarted"), "{refused}");
    assert_eq!(daemon.get("/livez").await.0, 500);
}
