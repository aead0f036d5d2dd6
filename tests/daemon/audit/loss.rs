//! Audit logs that cannot be written.

use std::os::unix::fs::PermissionsExt;

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::Value;

use super::{audited, file};
use crate::harness::{Daemon, Vault, run};

/// The length to which files of that process may grow.
fn limit(process: Pid, length: Option<u64>) {
    prlimit(Some(process), Resource::Fsize, Rlimit { current: length, maximum: None }).unwrap();
}

async fn seen(daemon: &Daemon) -> Value {
    let snapshot: Value = serde_json::from_str(&daemon.get("/statusz?format=json").await.1).unwrap();
    snapshot["audit_log"].clone()
}

#[tokio::test]
async fn a_full_disk_fails_no_request_and_every_lost_line_is_counted_and_told_of() {
    const LOST: &str = "azure_kms_audit_lines_lost_total";
    let vault = Vault::start().await;
    let mut daemon = audited(&vault).healthy().await;
    daemon.client().round_trips().await.unwrap();
    super::until_lines(&file(&vault), "OK", 6).await; // with those of the health check
    let length = std::fs::metadata(file(&vault)).unwrap().len();
    limit(daemon.process.pid(), Some(length + 10)); // a part of the next line fits
    for _ in 0..2 {
        daemon.client().round_trips().await.unwrap();
    }
    daemon.until_metric(LOST, |lost| lost == 8).await;
    assert_eq!(daemon.log().matches("\"Audit lines are lost\"").count(), 1, "once for all of them");
    daemon.logs(&format!("\"Audit lines are lost\" path={:?}", file(&vault))).await;
    let view = seen(&daemon).await;
    assert!(
        view["problem"].as_str().unwrap().contains("File too large") && view["lines_lost"] == 8,
        "{view}"
    );
    assert_eq!(daemon.get("/healthz").await.0, 200);
    let healthz = format!("--healthz=http://{}", daemon.healthz_addr());
    let socket = format!("--socket=unix://{}", daemon.socket.display());
    let (_, table, _) =
        tokio::task::spawn_blocking(move || run(&["status", &socket, &healthz])).await.unwrap();
    assert!(table.contains("audit log     lines are lost: File too large"), "{table}");

    limit(daemon.process.pid(), None);
    daemon.client().round_trips().await.unwrap();
    daemon.logs("\"Audit lines are written again\" lost_since_start=8").await;
    assert_eq!(seen(&daemon).await["problem"], Value::Null);
    daemon.terminate();
    daemon.exit().await;
    let text = std::fs::read_to_string(file(&vault)).unwrap();
    let whole = text.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count();
    assert_eq!(
        (whole, text.lines().count()),
        (6 + 4, 6 + 4 + 1),
        "the part of a line spoils no other:\n{text}"
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_ends_the_start_and_is_named() {
    let vault = Vault::start().await;
    let absent = vault.dir.path().join("absent/audit.log");
    for path in [absent.to_str().unwrap(), "/dev/null", vault.dir.path().to_str().unwrap()] {
        let mut daemon = vault.daemon().arg(format!("--audit-log={path}")).spawn();
        assert_eq!(daemon.exit().await.code(), Some(1));
        assert!(daemon.log().contains(&format!("--audit-log: {path}: ")), "{}", daemon.log());
        assert!(!daemon.socket.exists());
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_reopened_stays_in_use_and_a_present_one_keeps_its_content_and_mode() {
    let vault = Vault::start().await;
    let path = file(&vault);
    std::fs::write(&path, "{\"uid\":\"of an earlier run\"}\n").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    let mut daemon = audited(&vault).healthy().await;
    let renamed = path.with_extension("1");
    std::fs::rename(&path, &renamed).unwrap();
    std::fs::create_dir(&path).unwrap();
    daemon.signal(Signal::HUP);
    daemon.logs(&format!("\"The audit log cannot be reopened, the old file stays\" path={path:?}")).await;
    daemon.client().round_trips().await.unwrap();
    std::fs::remove_dir(&path).unwrap();
    daemon.signal(Signal::HUP);
    daemon.logs("\"Audit log reopened\"").await;
    daemon.client().round_trips().await.unwrap();
    daemon.terminate();
    daemon.exit().await;
    let (old, new) = (std::fs::read_to_string(&renamed).unwrap(), std::fs::read_to_string(&path).unwrap());
    assert!(old.starts_with("{\"uid\":\"of an earlier run\"}\n"), "{old}");
    assert_eq!((old.lines().count(), new.lines().count()), (1 + 2 + 4, 4), "{old}\n{new}");
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&renamed), mode(&path)), (0o640, 0o600));
}
