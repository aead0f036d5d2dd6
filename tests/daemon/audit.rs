//! `--audit-log`: a line for each key operation, whatever becomes of it.

mod loss;
mod refusals;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use akv_emulator::{FaultSet, Faults};
use azure_kms_provider::proto::v1beta1;
use azure_kms_provider::proto::v2::EncryptRequest;
use kms_testkit::TEST_TIMEOUT;
use rustix::process::{Signal, getgid, getuid};
use serde_json::Value;
use tokio::task::JoinSet;
use tonic::{Code, Request};

use crate::canaries::{self, PLAINTEXT};
use crate::harness::{Client, Start, Vault};

fn file(vault: &Vault) -> PathBuf {
    vault.dir.path().join("audit.log")
}

/// A daemon with an audit log, and one round of probes.
fn audited(vault: &Vault) -> Start {
    vault.daemon().arg(format!("--audit-log={}", file(vault).display())).arg("--health-interval=1h")
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Those of clients.
fn of_clients(path: &Path) -> Vec<Value> {
    lines(path).into_iter().filter(|line| line["probe"] == false).collect()
}

fn column<'a>(lines: &'a [Value], field: &str) -> Vec<&'a str> {
    lines.iter().map(|line| line[field].as_str().unwrap()).collect()
}

/// Waits until so many lines of clients have that outcome.
async fn until_lines(path: &Path, outcome: &str, count: usize) {
    let polled = async {
        let has = |text: &str| text.matches(&format!("\"outcome\":\"{outcome}\"")).count();
        while has(&std::fs::read_to_string(path).unwrap()) < count {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await; // between polls
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, polled)
        .await
        .unwrap_or_else(|_| panic!("no {count} lines with {outcome}"));
}

/// Encrypts by v2 with that UID.
///
/// # Errors
/// The daemon refuses the call: its gRPC code.
async fn encrypt(client: &mut Client, uid: String) -> Result<(), Code> {
    let request = EncryptRequest { plaintext: b"0123456789abcdef".to_vec(), uid };
    client.v2.encrypt(request).await.map(drop).map_err(|status| status.code())
}

#[tokio::test]
async fn a_line_says_who_asked_for_what_and_key_vault_s_name_of_its_answer() {
    let vault = Vault::start().await;
    let mut daemon = audited(&vault).healthy().await;
    daemon.client().round_trips().await.unwrap();
    let (daemon_pid, hedges) =
        (daemon.process.pid(), daemon.metric("azure_kms_key_vault_hedges_total").await);
    daemon.terminate();
    daemon.exit().await;
    let (all, clients) = (lines(&file(&vault)), of_clients(&file(&vault)));
    let fields =
        "time uid operation api probe key_id x-ms-request-id peer_pid peer_uid peer_gid outcome took_ms";
    for line in &all {
        let known: BTreeSet<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(known, fields.split(' ').collect());
        assert_eq!((&line["key_id"], &line["outcome"]), (&vault.key_id().into(), &"OK".into()));
        assert_eq!(line["peer_uid"], getuid().as_raw());
        assert_eq!(line["peer_gid"], getgid().as_raw());
        let pid = if line["probe"] == true { daemon_pid.as_raw_pid() } else { std::process::id() as i32 };
        assert_eq!(line["peer_pid"], pid);
        assert!(chrono::DateTime::parse_from_rfc3339(line["time"].as_str().unwrap()).is_ok());
        assert!(line["took_ms"].as_f64().unwrap() > 0.0);
    }
    assert_eq!(column(&clients, "operation"), ["encrypt", "decrypt", "encrypt", "decrypt"]);
    assert_eq!(column(&clients, "api"), ["v1", "v1", "v2", "v2"]);
    let uids = column(&clients, "uid");
    assert!(uids[..2].iter().all(|uid| uid.starts_with("v1-")) && uids[2..] == ["test", "test"], "{uids:?}");
    let probes: Vec<_> = all.iter().filter(|line| line["probe"] == true).collect();
    assert_eq!(probes.len(), 2, "an Encrypt and a Decrypt of the health check: {probes:?}");
    // each was answered under that name, and nothing was answered that no line names, but for an overtaken attempt
    let answered = vault.emulator.responses().into_iter().filter(|answer| answer.operation != "get");
    let mut answered: Vec<_> = answered.map(|answer| (answer.operation, answer.request_id)).collect();
    for line in &all {
        let named = |(operation, id): &(String, String)| {
            line["operation"] == **operation && line["x-ms-request-id"] == **id
        };
        answered.remove(answered.iter().position(named).unwrap_or_else(|| panic!("{line} was not answered")));
    }
    assert!(answered.len() as u64 <= hedges, "{answered:?}");
}

#[tokio::test]
async fn whom_the_full_queue_refuses_and_who_leaves_has_a_line() {
    let vault = Vault::start().await;
    let daemon = audited(&vault).arg("--max-in-flight=1").healthy().await;
    vault.emulator.set_faults(slow(20_000));
    let connections: Vec<_> = (0..10).map(|_| daemon.client()).collect();
    let mut calls = JoinSet::new();
    for call in 0..1101 {
        let mut client = connections[call % connections.len()].clone();
        calls.spawn(async move {
            let message = v1beta1::EncryptRequest { version: "v1beta1".into(), plain: b"x".to_vec() };
            let mut request = Request::new(message);
            request.set_timeout(Duration::from_secs(60));
            client.v1.encrypt(request).await.unwrap_err().code()
        });
    }
    for _ in 0..100 {
        assert_eq!(calls.join_next().await.unwrap().unwrap(), Code::ResourceExhausted);
    }
    until_lines(&file(&vault), "RESOURCE_EXHAUSTED", 100).await;
    drop((calls, connections));
    until_lines(&file(&vault), "CANCELLED", 1001).await;
    let lines = of_clients(&file(&vault));
    assert_eq!((lines.len(), column(&lines, "uid").into_iter().collect::<BTreeSet<_>>().len()), (1101, 1101));
}

/// Answers of Key Vault take so long.
fn slow(latency_ms: u64) -> Faults {
    Faults { vault: FaultSet { latency_ms, ..FaultSet::default() }, ..Faults::default() }
}

#[tokio::test]
async fn what_a_drain_finishes_has_its_line() {
    let vault = Vault::start().await;
    let mut daemon = audited(&vault).healthy().await;
    vault.emulator.set_faults(slow(2_000));
    let mut calls = JoinSet::new();
    for number in 0..50 {
        let mut client = daemon.client();
        calls.spawn(async move { encrypt(&mut client, number.to_string()).await });
    }
    daemon.has_in_flight(50).await;
    daemon.terminate();
    while let Some(call) = calls.join_next().await {
        assert_eq!(call.unwrap(), Ok(()));
    }
    assert_eq!(daemon.exit().await.code(), Some(0));
    let lines = of_clients(&file(&vault));
    assert_eq!((lines.len(), column(&lines, "outcome")), (50, vec!["OK"; 50]));
}

#[tokio::test]
async fn what_is_still_open_at_the_end_of_a_drain_has_its_line_too() {
    let vault = Vault::start().await;
    let mut daemon = audited(&vault).healthy().await;
    vault.emulator.set_faults(slow(60_000));
    let mut client = daemon.client();
    let stuck = tokio::spawn(async move {
        let mut request =
            tonic::Request::new(EncryptRequest { plaintext: b"x".to_vec(), uid: "stuck".into() });
        request.set_timeout(std::time::Duration::from_secs(60)); // longer than the drain
        client.v2.encrypt(request).await
    });
    daemon.has_in_flight(1).await;
    daemon.terminate();
    assert_eq!(daemon.exit().await.code(), Some(0));
    assert!(stuck.await.unwrap().is_err());
    let lines = of_clients(&file(&vault));
    assert_eq!((column(&lines, "uid"), column(&lines, "outcome")), (vec!["stuck"], vec!["CANCELLED"]));
}

#[tokio::test]
async fn a_uid_is_cut_and_escaped_and_nothing_secret_is_in_a_line() {
    let vault = Vault::start().await;
    let info = vault.emulator.info().clone();
    let mut daemon = audited(&vault).arg("-v=10").healthy().await;
    let mut client = daemon.client();
    let uid = format!("\"}}\n{{\"uid\":\"\u{1b}{}", "u".repeat(1_000));
    let request = EncryptRequest { plaintext: PLAINTEXT.into(), uid: uid.clone() };
    client.v2.encrypt(request).await.unwrap();
    let encrypted = client.encrypt_v2(PLAINTEXT.as_bytes()).await.unwrap();
    let (v2, v1) = (encrypted.ciphertext.clone(), client.encrypt_v1(PLAINTEXT.as_bytes()).await.unwrap());
    client.decrypt_v2(encrypted).await.unwrap();
    client.decrypt_v1(&v1).await.unwrap();
    canaries::be_refused(&vault, &mut client).await;
    daemon.terminate();
    daemon.exit().await;
    let lines = of_clients(&file(&vault));
    let cut: String = uid.chars().take(64).collect();
    assert_eq!((lines.len(), lines[0]["uid"].as_str()), (9, Some(cut.as_str())));
    let text = std::fs::read_to_string(file(&vault)).unwrap();
    let [v1, v2] = [v1, v2].map(|encrypted| String::from_utf8(encrypted).unwrap());
    let more = [v1, v2, "Bearer".into(), info.vault_host.clone(), info.tenant_id.clone()];
    for secret in canaries::secrets(&info).into_iter().chain(more) {
        assert!(!text.contains(&secret), "{secret} is in the audit log:\n{text}");
    }
}

#[tokio::test]
async fn eight_clients_see_ten_rotations_and_each_call_is_in_one_file_once() {
    let vault = Vault::start().await;
    let mut daemon = audited(&vault).healthy().await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let made = tokio::sync::watch::Sender::new(0_u64);
    let mut clients = JoinSet::new();
    for number in 0..8 {
        let (mut client, stopped, made) = (daemon.client(), stopped.clone(), made.clone());
        clients.spawn(async move {
            let mut uids = Vec::new();
            while !*stopped.borrow() {
                let uid = format!("{number}-{}", uids.len());
                encrypt(&mut client, uid.clone()).await.unwrap();
                uids.push(uid);
                made.send_modify(|made| *made += 1);
            }
            uids
        });
    }
    let mut renamed = Vec::new();
    for rotation in 1..=10 {
        let wanted = *made.borrow() + 100;
        tokio::time::timeout(TEST_TIMEOUT, made.subscribe().wait_for(|made| *made >= wanted))
            .await
            .unwrap()
            .unwrap();
        renamed.push(file(&vault).with_extension(rotation.to_string()));
        std::fs::rename(file(&vault), renamed.last().unwrap()).unwrap();
        daemon.signal(Signal::HUP);
        daemon.logs_times("Audit log reopened", rotation).await;
    }
    stop.send_replace(true);
    let mut uids: Vec<String> = clients.join_all().await.concat();
    daemon.terminate();
    daemon.exit().await;
    assert!(uids.len() >= 1_000);
    renamed.push(file(&vault));
    let files: Vec<Vec<Value>> = renamed.iter().map(|path| of_clients(path)).collect();
    assert!(files[1..].iter().all(|lines| !lines.is_empty()), "each file has its part");
    let mut written: Vec<String> =
        files.iter().flat_map(|lines| column(lines, "uid")).map(str::to_owned).collect();
    uids.sort();
    written.sort();
    assert!(uids == written, "{} calls, {} lines", uids.len(), written.len());
}

#[tokio::test]
async fn without_the_flag_there_is_no_audit_log() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    daemon.client().round_trips().await.unwrap();
    let snapshot: Value = serde_json::from_str(&daemon.get("/statusz?format=json").await.1).unwrap();
    assert!(snapshot["audit_log"].is_null() && snapshot["actors"].is_array(), "{snapshot}");
}
