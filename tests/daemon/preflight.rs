//! `preflight`, with everything right and with each thing wrong for real.

mod azure;
mod encryption_config;
mod proxies;
mod rights;

use kms_testkit::free_port;
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{DAEMON, Start, Vault, run, run_with};

/// The checks by the JSON of one run.
struct Checked {
    code: i32,
    report: Value,
}

impl Checked {
    fn result(&self, name: &str) -> &str {
        self.check(name)["result"].as_str().unwrap()
    }

    fn check(&self, name: &str) -> &Value {
        let checks = self.report["checks"].as_array().unwrap();
        let found = checks.iter().find(|check| check["name"] == name);
        found.unwrap_or_else(|| panic!("there is no {name} in {:#}", self.report))
    }

    fn names(&self) -> Vec<&str> {
        self.report["checks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|check| check["name"].as_str().unwrap())
            .collect()
    }

    fn with_result(&self, result: &str) -> Vec<&str> {
        self.names().into_iter().filter(|name| self.result(name) == result).collect()
    }

    /// Asserts that only that check failed, for that cause and with that fix, and that the exit code is 1.
    #[track_caller]
    fn only(&self, name: &str, cause: &str, fix: &str) {
        assert_eq!((self.code, self.with_result("failed")), (1, vec![name]), "{:#}", self.report);
        let check = self.check(name);
        let text = |field: &str| check[field].as_str().unwrap();
        assert!(text("cause").contains(cause) && text("fix").contains(fix), "{check:#}");
    }
}

/// The emulator's flags without those of that name, and a free place for the socket and the ports.
fn args_without(vault: &Vault, flag: &str) -> Vec<String> {
    let args = std::fs::read_to_string(vault.folder().join("args")).unwrap();
    let mut args: Vec<_> =
        args.lines().filter(|line| flag.is_empty() || !line.starts_with(flag)).map(str::to_owned).collect();
    args.push(format!("--listen-addr=unix://{}", vault.dir.path().join("kms.socket").display()));
    args.push(format!("--healthz-port={}", free_port()));
    args.push(format!("--metrics-addr=127.0.0.1:{}", free_port()));
    args
}

/// More of the environment.
type Env = Vec<(&'static str, String)>;

async fn ran(args: Vec<String>, env: Env) -> (i32, String, String) {
    let run = move || {
        let args = [&["preflight"][..], &args.iter().map(String::as_str).collect::<Vec<_>>()].concat();
        let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        run_with(&args, &env)
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

async fn checked_with(args: Vec<String>) -> Checked {
    checked_in(args, vec![]).await
}

async fn checked_in(mut args: Vec<String>, env: Env) -> Checked {
    args.push("--output=json".into());
    let (code, stdout, stderr) = ran(args, env).await;
    let report = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}\n{stderr}"));
    Checked { code, report }
}

async fn checked(vault: &Vault, more: &[String]) -> Checked {
    checked_with([args_without(vault, ""), more.to_vec()].concat()).await
}

#[tokio::test]
async fn all_is_well_and_the_exit_code_is_0() {
    let vault = Vault::start().await;
    let well = checked(&vault, &[]).await;
    assert_eq!((well.code, well.with_result("failed")), (0, vec![]), "{:#}", well.report);
    assert!(well.with_result("skipped").is_empty(), "{:#}", well.report);
    assert_eq!(well.with_result("warned"), ["key-recovery"]); // the emulator's vault has no purge protection
    assert_eq!(well.report["passed"], true);
}

#[tokio::test]
async fn text_and_json_tell_of_the_same_checks_and_of_no_secret() {
    let vault = Vault::start().await;
    let json = checked(&vault, &[]).await;
    let (code, text, _) = ran(args_without(&vault, ""), vec![]).await;
    let lines: Vec<_> = text.lines().filter_map(|line| line.split_once(' ')?.1.split_once(':')).collect();
    assert_eq!((code, lines.iter().map(|line| line.0).collect::<Vec<_>>()), (0, json.names()), "{text}");
    assert!(text.lines().all(|line| !line.starts_with('✗')) && text.contains("✓ token:"), "{text}");
    for output in [text, json.report.to_string()] {
        assert!(!output.contains(&vault.emulator.info().client_secret));
    }
}

#[tokio::test]
async fn a_missing_azure_json_is_named_and_the_socket_is_checked_all_the_same() {
    let vault = Vault::start().await;
    let missing = checked(&vault, &["--config-file-path=/absent/azure.json".into()]).await;
    missing.only("azure-json", "/absent/azure.json", "--config-file-path");
    assert_eq!((missing.result("token"), missing.result("socket")), ("skipped", "passed"));
}

#[tokio::test]
async fn a_secret_that_everybody_may_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let vault = Vault::start().await;
    let path = vault.folder().join("azure.json");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = checked(&vault, &[]).await;
    assert_eq!((open.code, open.result("permissions")), (0, "warned"));
    assert!(open.check("permissions")["fix"].as_str().unwrap().starts_with("chmod"));
}

#[tokio::test]
async fn an_audit_log_that_cannot_be_written_is_found_and_none_is_made() {
    let vault = Vault::start().await;
    let folder = vault.dir.path();
    let with = |path: &std::path::Path| vec![format!("--audit-log={}", path.display())];
    let file = folder.join("audit.log");
    let well = checked(&vault, &with(&file)).await;
    assert_eq!(
        (well.code, well.result("audit-log"), file.exists()),
        (0, "passed", false),
        "{:#}",
        well.report
    );
    let absent = checked(&vault, &with(&folder.join("absent/audit.log"))).await;
    absent.only("audit-log", "absent cannot be written to", "mkdir");
    checked(&vault, &with(&folder.join("akv"))).await.only("audit-log", "not a plain file", "--audit-log");
    let link = folder.join("link.log");
    std::os::unix::fs::symlink(folder.join("elsewhere"), &link).unwrap();
    checked(&vault, &with(&link)).await.only("audit-log", "is a symbolic link", "--audit-log");
    assert!(!checked(&vault, &[]).await.names().contains(&"audit-log"));
}

#[tokio::test]
async fn a_running_daemon_is_in_the_way_or_is_checked_itself_with_wait() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    let listen = format!("--listen-addr=unix://{}", daemon.socket.display());
    let taken = checked(&vault, std::slice::from_ref(&listen)).await;
    taken.only("socket", &format!("the process {} serves KMS at", daemon.process.pid()), "--wait");
    let waited = checked(&vault, &[listen.clone(), "--wait=30s".into()]).await;
    assert_eq!((waited.code, waited.result("ports")), (0, "skipped"), "{:#}", waited.report);
    for name in ["socket", "daemon-status", "daemon-v2", "daemon-v1"] {
        assert_eq!(waited.result(name), "passed");
    }
}

#[tokio::test]
async fn who_listens_and_is_no_kms_plugin_is_told_apart() {
    let vault = Vault::start().await;
    let path = vault.dir.path().join("other.socket");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap(); // and never answers
    let other = checked(&vault, &[format!("--listen-addr=unix://{}", path.display())]).await;
    let own = std::process::id();
    other.only("socket", &format!("the process {own} listens at"), "another --listen-addr");
    assert!(other.report.to_string().contains("does not answer as a KMS plugin"));
}

#[tokio::test]
async fn a_socket_that_systemd_holds_is_not_in_the_way() {
    let vault = Vault::start().await;
    let systemd = vault.dir.path().join("systemd"); // the kernel takes a process's name from there
    std::os::unix::fs::symlink(DAEMON, &systemd).unwrap();
    let args = std::fs::read_to_string(vault.folder().join("args")).unwrap();
    let args = args.lines().map(str::to_owned).collect();
    let holder = Start::new(systemd.to_str().unwrap(), vault.dir.path(), args).healthy().await;
    let listen = format!("--listen-addr=unix://{}", holder.socket.display());
    checked(&vault, std::slice::from_ref(&listen)).await.only("socket", "a daemon serves", "--wait");
    holder.process.signal(Signal::STOP); // as systemd, it does not answer itself
    let held = checked(&vault, &[listen]).await;
    holder.process.signal(Signal::CONT);
    assert_eq!((held.code, held.result("socket")), (0, "passed"), "{:#}", held.report);
    assert!(held.check("socket")["found"].as_str().unwrap().contains("systemd holds"));
}

#[tokio::test]
async fn a_daemon_that_never_comes_is_waited_for_no_longer_than_that() {
    let vault = Vault::start().await;
    let absent = checked(&vault, &["--wait=1s".into()]).await;
    absent.only("daemon-status", "not healthy within 1s", "log");
    assert_eq!(absent.result("daemon-v2"), "skipped");
}

#[tokio::test]
async fn a_missing_folder_a_file_in_the_socket_s_place_and_a_taken_port_are_found() {
    let vault = Vault::start().await;
    let folder = vault.dir.path().display().to_string();
    let absent = checked(&vault, &[format!("--listen-addr=unix://{folder}/absent/kms.socket")]).await;
    absent.only("socket-folder", "absent does not exist", "mkdir");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap();
    checked(&vault, &[format!("--metrics-addr={port}")]).await.only(
        "ports",
        &port.to_string(),
        "--metrics-addr",
    );
    std::fs::write(vault.dir.path().join("file"), "precious").unwrap();
    let file = checked(&vault, &[format!("--listen-addr=unix://{folder}/file")]).await;
    assert_eq!((file.code, file.result("socket-folder")), (1, "failed"));
}

#[test]
fn what_cannot_run_at_all_exits_2_and_says_why() {
    let complete = ["preflight", "--keyvault-name=kv-1", "--key-name=k", "--config-file-path=/absent"];
    let version = format!("--key-version={}", "0".repeat(32));
    for (more, says) in [
        (&["--nonsense"][..], "--nonsense"),
        (&[], "--key-version"),
        (&[version.as_str(), "--output=xml"], "--output"),
        (&[&version, "--wait=soon"], "--wait"),
        (&[&version, "--encryption-config="], "--encryption-config: names no file"),
        (&[&version, "--encryption-config=/absent/encryption.yaml"], "/absent/encryption.yaml"),
    ] {
        let (code, stdout, stderr) = run(&[&complete[..], more].concat());
        assert!(code == 2 && stdout.is_empty() && stderr.contains(says), "{code} {stdout} {stderr}");
    }
    let (code, help, _) = run(&["preflight", "--help"]);
    assert!(code == 0 && help.contains("--encryption-config") && help.contains("--keyvault-name"), "{help}");
    assert!(help.starts_with("Checks everything the daemon needs"), "{help}");
}
