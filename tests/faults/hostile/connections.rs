//! More connections than anybody needs, and connections that say nothing.

use azure_kms_provider::proto::v1beta1::VersionRequest;
use tokio::task::JoinSet;

use super::attack::Raw;
use super::{Target, open_many_files, wire};
use crate::harness::Client;

/// What the daemon keeps at most.
const MOST_CONNECTIONS: usize = 1_280;

#[tokio::test]
async fn a_thousand_connections_with_a_call_each_are_served() {
    open_many_files();
    let target = Target::start().await;
    let mut calls = JoinSet::new();
    for _ in 0..1_000 {
        let mut client = target.daemon.client();
        let request = VersionRequest { version: "v1beta1".into() };
        calls.spawn(async move { (client.v1.version(request).await, client) });
    }
    let mut open: Vec<Client> = Vec::new();
    while let Some(call) = calls.join_next().await {
        let (answer, client) = call.unwrap();
        assert_eq!(answer.unwrap().get_ref().version, "v1beta1");
        open.push(client);
    }
    target.stands().await;
    target.stood().await;
    drop(open);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_the_log_says_so_once() {
    open_many_files();
    let mut target = Target::with(&["--health-interval=1h"]).await; // the probe would come and go with a place
    let mut held = target.connect_many(MOST_CONNECTIONS).await;
    let mut beyond = target.connect().await;
    beyond.until_closed().await;
    target.connect().await.until_closed().await;
    target.bystander.more_round_trips(3).await; // its connection was there before
    let warning = "are open: more are closed";
    target.daemon.logs(warning).await;
    assert_eq!(target.daemon.log().matches(warning).count(), 1);
    held.clear();
    served_again(&target).await;
    super::is_small(&target.daemon);
}

/// The daemon notices that connections are gone a moment after their clients close them.
async fn served_again(target: &Target) {
    let served = async { while target.daemon.client().round_trips().await.is_err() {} };
    tokio::time::timeout(kms_testkit::TEST_TIMEOUT, served).await.unwrap();
}

#[tokio::test]
async fn a_thousand_connections_that_say_nothing_keep_nobody_out_and_do_not_hold_the_drain() {
    open_many_files();
    let mut target = Target::start().await;
    let mut silent = Vec::new();
    for count in 0..1_000 {
        let mut raw = Raw::silent(&target.daemon).await;
        raw.send(&wire::PREFACE[..count % wire::PREFACE.len()]).await;
        silent.push(raw);
    }
    target.stands().await;
    target.daemon.client().round_trips().await.unwrap();
    assert!(target.bystander.stop().await.1.is_empty());
    target.daemon.terminate();
    assert_eq!(target.daemon.exit().await.code(), Some(0));
    assert!(!target.daemon.log().contains("Connections were still open"), "{}", target.daemon.log());
}

#[tokio::test]
async fn a_client_that_says_hello_and_nothing_more_does_not_hold_the_drain() {
    let mut target = Target::start().await;
    let mut raw = target.connect().await;
    raw.send(&wire::call(1, wire::VERSION, "localhost", b"")).await;
    raw.until(b"v1beta1").await;
    assert!(target.bystander.stop().await.1.is_empty());
    target.daemon.terminate();
    assert_eq!(target.daemon.exit().await.code(), Some(0));
    assert!(!target.daemon.log().contains("Connections were still open"), "{}", target.daemon.log());
}

#[tokio::test]
async fn garbage_on_a_hundred_connections_costs_only_those() {
    let target = Target::start().await;
    let mut state = 1u64;
    let mut garbage = |length: usize| -> Vec<u8> {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..length).map(|_| next()).collect()
    };
    for attempt in 0..100 {
        let hello = if attempt % 2 == 0 { wire::hello() } else { Vec::new() };
        let pieces = (0..20).map(|_| garbage(4_096)).collect::<Vec<_>>();
        Raw::silent(&target.daemon).await.flood([hello].into_iter().chain(pieces)).await;
    }
    target.stood().await;
}
