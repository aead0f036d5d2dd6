use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::time::SystemTime;

use super::*;
use crate::kms::{Api, KeyId, Method};

fn record(uid: &str) -> Record {
    Record {
        time: SystemTime::UNIX_EPOCH + Duration::from_micros(1),
        uid: Some(uid.into()),
        operation: Method::Encrypt,
        api: Api::V2,
        is_probe: false,
        key_id: Some(KeyId::of_url("https://vault/keys/k8s/1")),
        request_id: Some("cd".into()),
        peer: Peer { pid: Some(1), uid: Some(0), gid: None },
        outcome: "OK",
        took_ms: 0.5,
    }
}

fn uids(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let uid = |line: &str| {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["uid"].as_str().unwrap().to_owned()
    };
    text.lines().map(uid).collect()
}

fn lost(metrics: &Metrics) -> u64 {
    metrics.audit_lines_lost()
}

#[test]
fn a_line_has_its_fields_in_order_and_null_for_what_is_not_known() {
    let key_id = KeyId::of_url("https://vault/keys/k8s/1");
    let expected = [
        r#"{"time":"1970-01-01T00:00:00.000001Z","uid":"u","operation":"encrypt","api":"v2","probe":false,"key_id":""#,
        key_id.as_str(),
        r#"","x-ms-request-id":"cd","peer_pid":1,"peer_uid":0,"peer_gid":null,"outcome":"OK","took_ms":0.5}"#,
    ];
    let expected = expected.concat();
    assert_eq!(serde_json::to_string(&record("u")).unwrap(), expected);
    let refused = Record { uid: None, key_id: None, request_id: None, ..record("") };
    let line = serde_json::to_string(&refused).unwrap();
    for field in [r#""uid":null"#, r#""key_id":null"#, r#""x-ms-request-id":null"#] {
        assert!(line.contains(field), "{line}");
    }
}

#[test]
fn a_uid_cannot_begin_another_line() {
    let line = serde_json::to_string(&record("a\"}\n{\"uid\":\"b\u{1b}")).unwrap();
    assert!(!line.contains(['\n', '\u{1b}']), "{line}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap()["uid"], "a\"}\n{\"uid\":\"b\u{1b}");
}

#[test]
fn after_a_rename_and_a_reopen_lines_go_to_a_new_file_and_none_is_lost() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (path, renamed) = (folder.path().join("audit"), folder.path().join("audit.1"));
    let metrics = Arc::new(Metrics::new());
    let log = AuditLog::open(&path, metrics.clone()).unwrap();
    log.append(record("a"));
    fs::rename(&path, &renamed).unwrap();
    log.reopen();
    log.append(record("b"));
    assert_eq!(log.finish_within(FLUSH_TIMEOUT), Some(0));
    assert_eq!([uids(&renamed), uids(&path)].concat(), ["a", "b"]);
    assert_eq!(uids(&path).last().unwrap(), "b");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    log.append(record("late"));
    assert_eq!(lost(&metrics), 1);
}

#[test]
fn who_cannot_reopen_goes_on_in_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, renamed) = (folder.path().join("audit"), folder.path().join("audit.1"));
    let log = AuditLog::open(&path, Arc::new(Metrics::new())).unwrap();
    fs::rename(&path, &renamed).unwrap();
    fs::create_dir(&path).unwrap();
    log.reopen();
    log.append(record("a"));
    assert_eq!(log.finish_within(FLUSH_TIMEOUT), Some(0));
    assert_eq!(uids(&renamed), ["a"]);
}

#[test]
fn a_disk_that_hangs_stops_neither_those_who_ask_nor_the_end() {
    let metrics = Arc::new(Metrics::new());
    let (reader, writer) = std::io::pipe().unwrap();
    let mut filled = File::from(OwnedFd::from(writer.try_clone().unwrap()));
    rustix::io::ioctl_fionbio(&filled, true).unwrap();
    while std::io::Write::write(&mut filled, &[7; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&filled, false).unwrap(); // full: a write waits now
    let log = AuditLog::start(AuditFile::of(OwnedFd::from(writer).into()), 8, metrics.clone()).unwrap();
    (0..100).for_each(|_| log.append(record("a")));
    let queued = log.finish_within(Duration::from_millis(1)).unwrap() as u64;
    assert!(queued == 8 || queued == 9, "{queued}"); // the writer may have taken one out of the queue
    assert_eq!(queued + lost(&metrics), 100);
    let view = log.view().unwrap();
    assert_eq!(
        (view.problem.as_deref(), view.lines_lost),
        (Some("the disk is slower than the requests"), lost(&metrics))
    );
    drop(reader);
}

#[test]
fn what_the_disk_refuses_is_counted_and_told() {
    let metrics = Arc::new(Metrics::new());
    let full = AuditFile::of(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let log = AuditLog::start(full, 8, metrics.clone()).unwrap();
    (0..2).for_each(|_| log.append(record("a")));
    assert_eq!((log.finish_within(FLUSH_TIMEOUT), lost(&metrics)), (Some(0), 2));
    assert!(log.view().unwrap().problem.unwrap().contains("No space left"));
}

#[test]
fn a_torn_line_spoils_no_other() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    let mut file = AuditFile::of(OwnedFd::from(writer).into());
    let torn = "t".repeat(1 << 20); // more than a pipe takes
    assert_eq!(file.write(&torn).unwrap_err().kind(), ErrorKind::WouldBlock);
    let mut part = vec![0; 1 << 20];
    let length = reader.read(&mut part).unwrap();
    assert!(torn.as_bytes().starts_with(&part[..length]));
    file.write("a").unwrap();
    file.write("b").unwrap();
    drop(file);
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert_eq!(rest.trim_start_matches('t'), "\na\nb\n");
}

#[test]
fn a_line_that_was_torn_before_the_file_was_opened_spoils_no_other() {
    let folder = tempfile::tempdir().unwrap();
    for (before, after) in [("", "a\n"), ("{}\n", "{}\na\n"), ("{}\n{\"to", "{}\n{\"to\na\n")] {
        let path = folder.path().join("audit");
        fs::write(&path, before).unwrap();
        let mut file = AuditFile::open(&path).unwrap();
        file.reopen().unwrap();
        file.write("a").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), after);
    }
}

#[test]
fn what_is_no_plain_file_is_refused_by_name_and_its_opening_does_not_wait() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let absent = folder.path().join("absent/audit");
    for path in [folder.path(), Path::new("/dev/null"), &pipe, &absent] {
        let refused = AuditLog::open(path, Arc::new(Metrics::new())).err().unwrap();
        assert!(refused.starts_with(&format!("--audit-log: {}: ", path.display())), "{refused}");
    }
}

#[test]
fn without_a_file_nothing_is_taken() {
    let log = AuditLog::default();
    log.append(record("a"));
    log.reopen();
    assert!(!log.is_on() && log.view().is_none() && log.finish_within(FLUSH_TIMEOUT).is_none());
}
