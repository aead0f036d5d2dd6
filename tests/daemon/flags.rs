//! The command line as an operator meets it.

use std::fs::OpenOptions;
use std::process::Command;

use crate::harness::{DAEMON, Start, Vault, run};

#[test]
fn help_exits_0_and_version_prints_the_go_plugin_s_json() {
    let (code, stdout, _) = run(&["--help"]);
    assert!(code == 0 && stdout.contains("--keyvault-name"), "{stdout}");
    let (code, stdout, _) = run(&["-version"]);
    let version: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert!(code == 0 && version["BuildVersion"].is_string() && version["GitCommit"].is_string());
}

#[test]
fn what_does_not_fit_on_the_disk_is_no_success() {
    for said in [
        &["man"][..],
        &["completion", "bash"],
        &["--help"],
        &["manifests", "--keyvault-name=kv-1"],
        &["status"],
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ended = Command::new(DAEMON).args(said).stdout(full).output().unwrap();
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{said:?}");
        assert!(stderr.contains("standard output: No space left"), "{said:?}: {stderr}");
    }
}

#[test]
fn who_reads_only_the_head_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = Command::new(DAEMON).arg("man").stdout(writer).output().unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
}

#[test]
fn every_problem_is_reported_at_once_and_the_exit_code_is_1() {
    let args = ["--keyvault-name=x", "--key-name=", "--config-file-path=/absent", "--healthz-port=99999"];
    let (code, _, stderr) = run(&args);
    assert_eq!(code, 1);
    for flag in ["--keyvault-name", "--key-name", "--key-version", "--config-file-path", "--healthz-port"] {
        assert!(stderr.contains(flag), "{flag} is not in\n{stderr}");
    }
}

#[test]
fn unknown_flags_are_refused_by_name() {
    let (code, _, stderr) = run(&["--keyvault-nmae=x"]);
    assert!(code == 1 && stderr.contains("keyvault-nmae"), "{stderr}");
}

#[tokio::test]
async fn go_s_spelling_of_flags_quotes_and_upper_case_vault_names_work() {
    let vault = Vault::start().await;
    let start =
        ["-keyvault-name", "\"EMULATOR\"", "-key-name", " k8s ", "-log-format-json=f", "-managed-hsm=0"];
    let daemon = start.into_iter().fold(vault.daemon(), Start::arg).healthy().await;
    assert_eq!(daemon.client().status().await.unwrap().key_id, vault.key_id());
}

#[tokio::test]
async fn json_logs_are_one_object_a_line_with_uid_and_operation() {
    let vault = Vault::start().await;
    let mut daemon = vault.daemon().arg("--log-format-json").arg("-v=4").listening().await;
    daemon.client().encrypt_v2(b"x").await.unwrap();
    daemon.logs("\"uid\":\"test\"").await;
    let lines: Vec<serde_json::Value> =
        daemon.log().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let served = lines.iter().find(|line| line["uid"] == "test").unwrap();
    assert_eq!(
        (&served["operation"], &served["v"], &served["api"]),
        (&"encrypt".into(), &4.into(), &"v2".into())
    );
}

#[tokio::test]
async fn healthcheck_exits_0_for_a_healthy_daemon_and_1_with_the_reason_otherwise() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    let socket = format!("--socket=unix://{}", daemon.socket.display());
    let asked = || {
        let socket = socket.clone();
        tokio::task::spawn_blocking(move || run(&["healthcheck", &socket]))
    };
    assert_eq!(asked().await.unwrap(), (0, "ok\n".into(), String::new()));
    let down = akv_emulator::FaultSet { reset_rate: 1.0, ..Default::default() };
    vault.emulator.set_faults(akv_emulator::Faults { vault: down, ..Default::default() });
    daemon.client().until_status(false).await;
    let (code, _, stderr) = asked().await.unwrap();
    assert!(code == 1 && stderr.contains("Key Vault cannot be reached"), "{stderr}");
}

#[test]
fn healthcheck_names_a_flag_that_is_wrong_and_says_when_nobody_answers() {
    let (code, _, stderr) = run(&["healthcheck", "--socket=/no/url", "--timeout=1s"]);
    assert!(code == 1 && stderr.contains("--socket"), "{stderr}");
    let (code, _, stderr) = run(&["healthcheck", "--socket=unix:///absent/kms.socket", "--timeout=1s"]);
    assert!(code == 1 && stderr.contains("unix:///absent/kms.socket: No such file"), "{stderr}");
    let (code, stdout, _) = run(&["healthcheck", "--help"]);
    assert!(code == 0 && stdout.contains("--socket"), "{stdout}");
}

/// `--name <a|b>` of a help: the flag and its values.
fn closed_lists(help: &str) -> Vec<(String, Vec<String>)> {
    let lists = help.lines().filter_map(|line| {
        let (flag, rest) = line.trim().split_once(" <")?;
        let (values, _) = rest.split_once('>')?;
        let values: Vec<String> = values.split('|').map(str::to_owned).collect();
        (flag.starts_with("--") && values.len() > 1).then(|| (flag.to_owned(), values))
    });
    lists.collect()
}

#[test]
fn what_the_help_lists_as_values_is_taken_and_nothing_else() {
    let lists = |command: &[&str]| closed_lists(&run(&[command, &["--help"]].concat()).1);
    let (of_daemon, mut known) = (lists(&[]), 0);
    for command in [&[][..], &["manifests"], &["preflight"], &["status"]] {
        // the daemon's own are the daemon's to judge
        let own = |list: &(String, Vec<String>)| command.is_empty() || !of_daemon.contains(list);
        for (flag, values) in lists(command).into_iter().filter(own) {
            let refused = |value: &str| {
                let flags = format!("{flag}={value}");
                let absent = ["--config-file-path=/absent", "--socket=unix:///absent"];
                let more = if command == ["status"] { absent[1] } else { absent[0] };
                let (_, _, stderr) = run(&[command, &[&flags, more]].concat());
                stderr.contains(&format!("{flag}: "))
            };
            assert!(values.iter().all(|value| !refused(value)), "{command:?} {flag} {values:?}");
            assert!(refused("nonsense"), "{command:?} {flag}");
            known += 1;
        }
    }
    assert!(known >= 8, "{known}");
}
