//! `status`: what a running daemon says of itself.

use std::io::{BufRead, BufReader, Lines};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, Stdio};

use akv_emulator::{FaultSet, Faults};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{DAEMON, Daemon, Start, Vault, run};

#[tokio::test]
async fn status_shows_the_actors_as_a_table_and_as_json() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    let socket = format!("--socket=unix://{}", daemon.socket.display());
    let healthz = format!("--healthz=http://{}", daemon.healthz_addr());
    let asked = |output: &'static str| {
        let (socket, healthz) = (socket.clone(), healthz.clone());
        tokio::task::spawn_blocking(move || run(&["status", &socket, &healthz, output]))
    };
    let (code, table, _) = asked("--output=table").await.unwrap();
    assert_eq!(code, 0, "{table}");
    for part in
        ["status        ok (v2beta1)", "breaker       closed", "ACTOR", "key-vault  running", "expires 2"]
    {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
    let (_, json, _) = asked("--output=json").await.unwrap();
    let status: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(status["socket"]["answered"]["key_id"], vault.key_id());
    assert_eq!(status["daemon"]["answered"]["actors"][0]["state"], "running");
}

/// The table of that daemon, and the exit code.
async fn table(daemon: &Daemon) -> (i32, String) {
    let addresses = addresses(daemon);
    let asked = move || run(&[&["status"][..], &addresses.each_ref().map(String::as_str)].concat());
    let (code, table, _) = tokio::task::spawn_blocking(asked).await.unwrap();
    (code, table)
}

#[tokio::test]
async fn status_tells_an_outage_in_which_writes_go_on_from_a_refusal_that_ends_them() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().arg("--health-interval=1s").healthy().await;
    vault.emulator.set_faults(Faults {
        vault: FaultSet { error_rate: 1.0, status: Some(503), ..FaultSet::default() },
        ..Faults::default()
    });
    daemon.client().until_status(false).await;
    let (code, outage) = table(&daemon).await;
    assert!(code == 0 && outage.contains("v2 writes     go on: Status gives the key_id"), "{outage}");

    vault.emulator.set_faults(Faults::default());
    let client_id = vault.emulator.info().client_id.clone();
    vault.emulator.set_permissions([(client_id, Default::default())].into());
    daemon.process.wait_for("(PermissionDenied)", 1).await.unwrap();
    let (code, refused) = table(&daemon).await;
    let fails = refused.contains("status        fails: v2 Status: ") && refused.contains("Key Vault refuses");
    assert!(code == 1 && fails, "{refused}");
    assert!(refused.contains("v2 writes     end 3 minutes after"), "{refused}");
}

#[tokio::test]
async fn status_tells_of_a_changed_credential_that_does_not_work() {
    let vault = Vault::start().await;
    let good = std::fs::read_to_string(vault.folder().join("azure.json")).unwrap();
    let daemon = vault.daemon().arg(vault.azure_json(&good)).healthy().await;
    assert!(table(&daemon).await.1.contains("credential    in use since the start"));
    let secret = &vault.emulator.info().client_secret;
    vault.azure_json(&good.replace(secret, "wr0ng"));
    daemon.process.signal(Signal::HUP);
    daemon.process.wait_for("Reload failed", 1).await.unwrap();
    let (_, said) = table(&daemon).await;
    assert!(
        said.contains("credential    a change is not taken over, that of the start stays: Entra ID"),
        "{said}"
    );
    assert!(said.contains("AADSTS7000215") && !said.contains("wr0ng"), "{said}");
}

#[tokio::test]
async fn status_shows_what_one_end_says_when_nobody_listens_at_the_other() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    let socket = format!("--socket=unix://{}", daemon.socket.display());
    let elsewhere = format!("--healthz=http://{}", daemon.healthz_addr());
    let nobody = move || run(&["status", "--socket=unix:///absent/kms.socket", &elsewhere]);
    let (code, table, _) = tokio::task::spawn_blocking(nobody).await.unwrap();
    assert!(code == 1 && table.contains("socket        the socket unix:///absent"), "{table}");
    assert!(!table.contains("v2 writes") && table.contains("credential"), "{table}");

    let asked = move || run(&["status", &socket, "--healthz=http://127.0.0.1:1"]);
    let (code, table, _) = tokio::task::spawn_blocking(asked).await.unwrap();
    assert!(
        code == 0 && table.contains("status        ok") && table.contains("healthz port  127.0.0.1:1: "),
        "{table}"
    );
}

#[test]
fn status_exits_1_when_nobody_answers_or_a_flag_is_wrong() {
    let (code, _, stderr) =
        run(&["status", "--socket=unix:///absent/kms.socket", "--healthz=http://127.0.0.1:1"]);
    assert!(code == 1 && stderr.contains("unix:///absent/kms.socket: No such file"), "{stderr}");
    for (flag, name) in
        [("--output=xml", "--output"), ("--healthz=x", "--healthz"), ("--socket=x", "--socket")]
    {
        let (code, _, stderr) = run(&["status", flag]);
        assert!(code == 1 && stderr.starts_with(name), "{stderr}");
    }
}

#[tokio::test]
async fn status_shows_the_state_of_our_own_limits_and_who_waits_for_them() {
    let vault = Vault::start().await;
    let flags = ["--keyvault-qps=1", "--keyvault-burst=2", "--max-in-flight=8", "--health-interval=1h"];
    let daemon = flags.into_iter().fold(vault.daemon(), Start::arg).listening().await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let mut client = daemon.client().with_test_timeout();
        calls.spawn(async move { client.encrypt_v2(b"x").await.map(drop) });
    }
    daemon.until_metric("azure_kms_requests_queued", |queued| queued >= 16).await; // for 16 s at least
    let [socket, healthz] = addresses(&daemon);
    let (_, table, _) =
        tokio::task::spawn_blocking(move || run(&["status", &socket, &healthz])).await.unwrap();
    let shown = |name: &str| table.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    assert!(shown("admission").contains(" of 8 in flight; "), "{table}");
    assert!(shown("rate limit").contains(" of 2 calls left, 1 a second come back; "), "{table}");

    let (_, body) = daemon.get("/statusz?format=json").await;
    let status: Value = serde_json::from_str(&body).unwrap();
    let (limit, admission) = (&status["rate_limit"], &status["admission"]);
    assert_eq!(
        (&limit["qps"], &limit["burst"], &admission["max_in_flight"]),
        (&1.into(), &2.into(), &8.into())
    );
    assert!(limit["left"].is_u64() && limit["waiting"].as_u64().unwrap() >= 1, "{body}");
    assert!(admission["in_flight"].is_u64() && admission["queued"].as_u64().unwrap() >= 1, "{body}");
}

/// A `status --watch` of that daemon, and its lines.
fn watch(daemon: &Daemon) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut command = Command::new("env"); // a shell's job in the background ignores SIGINT, and so would the tests'
    command
        .args(["--default-signal=INT", DAEMON, "status", "--watch", "--output=json"])
        .args(addresses(daemon));
    let mut watch = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    (watch, lines)
}

/// Reads the next line, and returns whether the socket and the healthz port answered.
fn next_answer(lines: &mut Lines<BufReader<ChildStdout>>) -> [bool; 2] {
    let answers: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    ["socket", "daemon"].map(|end| answers[end]["answered"].is_object())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_without_a_daemon_until_sigint_ends_it() {
    let vault = Vault::start().await;
    let mut daemon = vault.daemon().healthy().await;
    let (watch, mut lines) = watch(&daemon);
    for _ in 0..2 {
        assert_eq!(next_answer(&mut lines), [true, true]);
    }
    daemon.terminate();
    daemon.exit().await;
    while next_answer(&mut lines) != [false, false] {}
    kill_process(Pid::from_child(&watch), Signal::INT).unwrap();
    let ended = tokio::task::spawn_blocking(move || watch.wait_with_output().unwrap()).await.unwrap();
    assert_eq!((ended.status.signal(), ended.stderr), (Some(2), Vec::new()), "a shell shows 130");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_nobody_reads_any_more_ends_with_exit_code_0() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    let (watch, mut lines) = watch(&daemon);
    assert_eq!(next_answer(&mut lines), [true, true]);
    drop(lines);
    let ended = tokio::task::spawn_blocking(move || watch.wait_with_output().unwrap()).await.unwrap();
    assert_eq!((ended.status.code(), ended.stderr), (Some(0), Vec::new()));
}

fn addresses(daemon: &Daemon) -> [String; 2] {
    [
        format!("--socket=unix://{}", daemon.socket.display()),
        format!("--healthz=http://{}", daemon.healthz_addr()),
    ]
}
