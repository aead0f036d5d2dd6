//! The end of one process and the start of the next, under load.

use std::fs::{File, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use akv_emulator::{FaultSet, Faults};
use kms_testkit::TEST_TIMEOUT;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::harness::{Daemon, Load, Start, Vault};

/// How a client begins: the preface of HTTP/2, and SETTINGS without any.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The type of a frame, its fourth byte, with which the server answers.
const SETTINGS: u8 = 4;
/// Restarts of one test.
const RESTARTS: u64 = 3;

/// A socket that this process keeps open, as systemd does.
fn socket_of(start: &Start) -> UnixListener {
    UnixListener::bind(&start.socket).unwrap()
}

fn inherit(start: Start, socket: &UnixListener) -> Start {
    start.inherit(socket.try_clone().unwrap())
}

async fn ends_with_0(mut daemon: Daemon) {
    daemon.terminate();
    assert_eq!(daemon.exit().await.code(), Some(0));
}

async fn is_refused(start: Start, says: &str) {
    let mut daemon = start.spawn();
    assert_eq!(daemon.exit().await.code(), Some(1));
    let log = daemon.log();
    assert!(log.contains("--listen-addr unix://") && log.contains(says), "{log}");
}

/// tonic does not tell a call that was lost from one that the draining server never saw, so those are made again, and
/// counted at Key Vault: a lost one was made there twice.
#[tokio::test]
async fn restarts_with_an_inherited_socket_under_load_fail_no_call_and_lose_none() {
    let vault = Vault::start().await;
    let socket = socket_of(&vault.daemon());
    let start = || inherit(vault.daemon().arg("--health-interval=1h"), &socket);
    let mut daemon = start().healthy().await;
    let load = Load::of((0..32).map(|_| daemon.client().retrying()));
    for _ in 0..RESTARTS {
        load.more_round_trips(100).await;
        ends_with_0(daemon).await;
        daemon = start().healthy().await;
    }
    load.more_round_trips(100).await;
    let (served, failures) = load.stop().await;
    assert!(failures.is_empty(), "{served} served, {failures:?}");
    let probed = RESTARTS + 1; // each process looks at its own health once
    let made = vault.emulator.stats();
    let wanted = 2 * served + probed;
    for calls in [made.calls("encrypt"), made.calls("decrypt")] {
        // a slow call may have had a second attempt
        assert!((wanted..=wanted + served / 20).contains(&calls), "{calls} calls, {wanted} wanted");
    }
}

#[tokio::test]
async fn two_processes_serve_one_inherited_socket_while_one_takes_over_from_the_other() {
    let vault = Vault::start().await;
    let socket = socket_of(&vault.daemon());
    let first = inherit(vault.daemon(), &socket).healthy().await;
    let load = Load::of((0..8).map(|_| first.client().retrying()));
    let second = inherit(vault.daemon(), &socket).healthy().await;
    load.more_round_trips(50).await;
    ends_with_0(first).await;
    load.more_round_trips(50).await;
    let (served, failures) = load.stop().await;
    assert!(failures.is_empty(), "{served} served, {failures:?}");
    ends_with_0(second).await;
}

#[tokio::test]
async fn what_connects_between_two_processes_waits_in_the_inherited_socket_and_is_served() {
    let vault = Vault::start().await;
    let socket = socket_of(&vault.daemon());
    let first = inherit(vault.daemon(), &socket).healthy().await;
    let (path, mut known, mut new) = (first.socket.clone(), first.client(), first.client());
    known.round_trips().await.unwrap();
    ends_with_0(first).await;
    let mut raw = UnixStream::connect(path).await.unwrap();
    raw.write_all(HELLO).await.unwrap();
    let calls = tokio::spawn(async move { tokio::join!(known.round_trips(), new.round_trips()) });
    let _second = inherit(vault.daemon(), &socket).listening().await;
    let mut answer = [0; 4];
    timeout(TEST_TIMEOUT, raw.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer[3], SETTINGS);
    let (known, new) = calls.await.unwrap();
    known.and(new).unwrap();
}

#[tokio::test]
async fn the_file_of_an_inherited_socket_stays_when_its_process_ends() {
    let vault = Vault::start().await;
    let start = vault.daemon();
    let (path, socket) = (start.socket.clone(), socket_of(&start));
    ends_with_0(inherit(start, &socket).listening().await).await;
    assert!(path.exists());
}

#[tokio::test]
async fn an_inherited_socket_that_is_open_to_others_is_warned_of() {
    let vault = Vault::start().await;
    for (mode, warned) in [(0o600, false), (0o666, true)] {
        let start = vault.daemon();
        let (path, socket) = (start.socket.clone(), socket_of(&start));
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let daemon = inherit(start, &socket).listening().await;
        assert_eq!(daemon.log().contains("Others than its owner"), warned, "{}", daemon.log());
        std::fs::remove_file(path).unwrap();
    }
}

#[tokio::test]
async fn an_inherited_socket_at_another_address_is_refused_and_both_are_named() {
    let vault = Vault::start().await;
    let socket = UnixListener::bind(vault.dir.path().join("other.socket")).unwrap();
    is_refused(inherit(vault.daemon(), &socket), "other.socket").await;
}

#[tokio::test]
async fn two_inherited_sockets_are_refused() {
    let vault = Vault::start().await;
    let start = vault.daemon();
    let socket = socket_of(&start);
    is_refused(start.inherit_times(2, socket), "2 sockets were inherited").await;
}

#[tokio::test]
async fn what_is_inherited_and_is_no_socket_is_refused() {
    let vault = Vault::start().await;
    let file = OwnedFd::from(File::open("/dev/null").unwrap());
    is_refused(vault.daemon().inherit(file), "fd 3 is not a socket").await;
}

#[tokio::test]
async fn after_a_kill_under_load_the_next_process_serves_the_same_clients() {
    let vault = Vault::start().await;
    let mut first = vault.daemon().healthy().await;
    let load = Load::start(&first, 32);
    load.more_round_trips(100).await;
    first.signal(Signal::KILL);
    assert_eq!(first.exit().await.code(), None);
    let second = vault.daemon().arg("-v=2").listening().await;
    assert!(second.log().contains("Removing a stale socket"), "{}", second.log());
    load.more_round_trips(100).await;
    load.stop().await;
}

#[tokio::test]
async fn the_next_process_takes_the_socket_and_the_port_while_one_still_drains() {
    let vault = Vault::start().await;
    let mut first = vault.daemon().healthy().await;
    let mut client = first.client();
    client.status().await.unwrap(); // the connection is made
    let slow = FaultSet { latency_ms: 2_000, ..FaultSet::default() };
    vault.emulator.set_faults(Faults { vault: slow, ..Faults::default() });
    vault.emulator.reset_stats();
    let call = tokio::spawn(async move { client.encrypt_v2(b"in flight").await });
    until(async || vault.emulator.stats().calls("encrypt") > 0).await;
    first.terminate();
    until(async || first.client().status().await.is_err() && first.try_get("/livez").await.is_err()).await;
    vault.emulator.set_faults(Faults::default());
    let port = first.healthz_addr().rsplit_once(':').unwrap().1;
    let second = vault.daemon().arg(format!("--healthz-port={port}")).healthy().await;
    call.await.unwrap().unwrap();
    assert_eq!(first.exit().await.code(), Some(0));
    second.client().round_trips().await.unwrap();
}

async fn until(is_so: impl AsyncFn() -> bool) {
    let reached = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    timeout(TEST_TIMEOUT, reached).await.unwrap();
}
