//! The matrix of supervision: every fault of every actor, while the daemon is idle, under load, starts and drains.

use std::time::Duration;

use akv_emulator::{FaultSet, Faults};
use futures_util::future::join_all;
use tokio::time::timeout;

use crate::harness::{Daemon, Load, Start, Vault};

const ACTORS: [&str; 4] = ["token", "key-vault", "health", "reload"];

/// A fault, and the reason of each failure that comes of it, in their order.
struct Fault(&'static str, &'static [&'static str]);

const PANIC: Fault = Fault("panic", &["panic"]);
/// The actor ends, and cannot be started once.
const ERROR: Fault = Fault("error", &["stopped", "error"]);
const STOP: Fault = Fault("stop", &["stopped"]);
const STALL: Fault = Fault("stall", &["hung"]);
const BLOCK: Fault = Fault("block", &["hung"]);

impl Fault {
    async fn inject(&self, daemon: &Daemon, actor: &str) {
        daemon.inject(actor, self.0).await;
    }

    /// Waits until the log says that the actor failed for each reason, and runs again.
    async fn is_overcome(&self, daemon: &mut Daemon, actor: &str) {
        for (generation, reason) in (1..).zip(self.1) {
            let failed =
                format!("\"Actor failed\" actor=\"{actor}\" generation={generation} reason=\"{reason}\"");
            daemon.logs(&failed).await;
        }
        let generation = self.1.len() + 1;
        daemon.logs(&format!("\"Actor started\" actor=\"{actor}\" generation={generation}")).await;
    }

    /// Asserts that those and no other failures were counted.
    async fn is_counted(&self, daemon: &Daemon, actors: &[&str]) {
        let metrics = daemon.metrics().await;
        let mut counted: Vec<_> = metrics
            .lines()
            .filter(|line| line.starts_with("azure_kms_actor_restarts_total{") && !line.ends_with(" 0"))
            .collect();
        let line = |actor: &&str, reason: &&str| {
            format!(r#"azure_kms_actor_restarts_total{{actor="{actor}",reason="{reason}"}} 1"#)
        };
        let mut expected: Vec<_> =
            actors.iter().flat_map(|actor| self.1.iter().map(move |reason| line(actor, reason))).collect();
        counted.sort_unstable();
        expected.sort_unstable();
        assert_eq!(counted, expected);
    }
}

fn patient(start: Start) -> Start {
    start.arg("--actor-restart-limit=1000")
}

/// Each actor is replaced, and a call made meanwhile is answered.
async fn idle(fault: Fault) {
    let vault = Vault::start().await;
    let mut daemon = patient(vault.daemon()).healthy().await;
    for actor in ACTORS {
        fault.inject(&daemon, actor).await;
        daemon.client().round_trips().await.unwrap();
        fault.is_overcome(&mut daemon, actor).await;
    }
    fault.is_counted(&daemon, &ACTORS).await;
    daemon.client().round_trips().await.unwrap();
    daemon.client().until_status(true).await;
    assert_eq!(daemon.get("/livez").await, (200, "ok".into()));
}

/// Each actor is replaced, and of eight callers without a pause none notices.
async fn under_load(fault: Fault) {
    let vault = Vault::start().await;
    let mut daemon = patient(vault.daemon()).healthy().await;
    let load = Load::start(&daemon, 8);
    for actor in ACTORS {
        fault.inject(&daemon, actor).await;
        fault.is_overcome(&mut daemon, actor).await;
        load.more_round_trips(16).await;
    }
    let (served, failures) = load.stop().await;
    assert!(failures.is_empty(), "{served} served, {failures:?}");
    fault.is_counted(&daemon, &ACTORS).await;
    daemon.client().until_status(true).await;
}

/// The daemon becomes healthy though the actor fails before Key Vault has ever served.
async fn during_start(fault: &Fault, actor: &str) {
    let vault = Vault::start().await;
    let slow = FaultSet { latency_ms: 300, ..FaultSet::default() };
    let unavailable = FaultSet { error_rate: 1.0, status: Some(503), ..slow.clone() };
    vault.emulator.set_faults(Faults { vault: unavailable, entra: slow.clone(), imds: slow.clone() });
    let mut daemon = patient(vault.daemon()).listening().await;
    fault.inject(&daemon, actor).await;
    fault.is_overcome(&mut daemon, actor).await;
    vault.emulator.set_faults(Faults { vault: slow, ..Faults::default() });
    daemon.logs("\"Healthy\"").await;
    daemon.client().round_trips().await.unwrap();
    fault.is_counted(&daemon, &[actor]).await;
}

/// Every call in flight is answered, and the exit code is 0.
async fn during_drain(fault: &Fault, actor: &str) {
    let vault = Vault::start().await;
    let mut daemon = patient(vault.daemon()).arg("--health-interval=1h").healthy().await;
    let slow = FaultSet { latency_ms: 1_500, ..FaultSet::default() };
    vault.emulator.set_faults(Faults { vault: slow, ..Faults::default() });
    let mut client = daemon.client();
    client.status().await.unwrap(); // the connection is made
    let before = vault.emulator.stats().http2_requests;
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.encrypt_v2(b"in flight").await })
        })
        .collect();
    arrived(&vault, before + 8).await;
    let connected = daemon.connected().await; // the port is closed at the beginning of the drain
    daemon.terminate();
    daemon.logs("\"Draining\"").await;
    vault.emulator.clear_faults(); // for calls that are made again
    daemon.inject_by(&connected, actor, fault.0).await;
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(daemon.exit().await.code(), Some(0));
    assert!(!daemon.socket.exists());
}

/// Waits until Key Vault was asked so often.
async fn arrived(vault: &Vault, requests: u64) {
    let asked = async {
        while vault.emulator.stats().http2_requests < requests {
            tokio::time::sleep(Duration::from_millis(10)).await; // between polls
        }
    };
    timeout(kms_testkit::TEST_TIMEOUT, asked).await.expect("Key Vault is not asked");
}

async fn each_during_start(fault: Fault) {
    join_all(ACTORS.map(|actor| during_start(&fault, actor))).await;
}

async fn each_during_drain(fault: Fault) {
    for actor in ACTORS {
        during_drain(&fault, actor).await;
    }
}

#[tokio::test]
async fn an_idle_actor_that_panics_is_replaced() {
    idle(PANIC).await;
}

#[tokio::test]
async fn an_idle_actor_that_cannot_be_started_again_at_once_is_replaced() {
    idle(ERROR).await;
}

#[tokio::test]
async fn an_idle_actor_that_stops_is_replaced() {
    idle(STOP).await;
}

#[tokio::test]
async fn an_idle_actor_that_stalls_is_replaced() {
    idle(STALL).await;
}

#[tokio::test]
async fn an_idle_actor_that_blocks_its_thread_is_replaced() {
    idle(BLOCK).await;
}

#[tokio::test]
async fn under_load_an_actor_that_panics_fails_no_call() {
    under_load(PANIC).await;
}

#[tokio::test]
async fn under_load_an_actor_that_cannot_be_started_again_at_once_fails_no_call() {
    under_load(ERROR).await;
}

#[tokio::test]
async fn under_load_an_actor_that_stops_fails_no_call() {
    under_load(STOP).await;
}

#[tokio::test]
async fn under_load_an_actor_that_stalls_fails_no_call() {
    under_load(STALL).await;
}

#[tokio::test]
async fn under_load_an_actor_that_blocks_its_thread_fails_no_call() {
    under_load(BLOCK).await;
}

#[tokio::test]
async fn the_daemon_becomes_healthy_though_an_actor_panics_during_the_start() {
    each_during_start(PANIC).await;
}

#[tokio::test]
async fn the_daemon_becomes_healthy_though_an_actor_cannot_be_started_again_at_once() {
    each_during_start(ERROR).await;
}

#[tokio::test]
async fn the_daemon_becomes_healthy_though_an_actor_stops_during_the_start() {
    each_during_start(STOP).await;
}

#[tokio::test]
async fn the_daemon_becomes_healthy_though_an_actor_stalls_during_the_start() {
    each_during_start(STALL).await;
}

#[tokio::test]
async fn the_daemon_becomes_healthy_though_an_actor_blocks_its_thread_during_the_start() {
    each_during_start(BLOCK).await;
}

#[tokio::test]
async fn during_the_drain_an_actor_that_panics_fails_no_call() {
    each_during_drain(PANIC).await;
}

#[tokio::test]
async fn during_the_drain_an_actor_that_cannot_be_started_again_at_once_fails_no_call() {
    each_during_drain(ERROR).await;
}

#[tokio::test]
async fn during_the_drain_an_actor_that_stops_fails_no_call() {
    each_during_drain(STOP).await;
}

#[tokio::test]
async fn during_the_drain_an_actor_that_stalls_fails_no_call() {
    each_during_drain(STALL).await;
}

#[tokio::test]
async fn during_the_drain_an_actor_that_blocks_its_thread_fails_no_call() {
    each_during_drain(BLOCK).await;
}
