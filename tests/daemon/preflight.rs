//! `preflight`, with everything right and with each thing wrong for real.

use std::time::{SystemTime, UNIX_EPOCH};

use akv_emulator::{FaultSet, Faults, KeyPatch};
use kms_testkit::free_port;
use serde_json::{Value, json};

use crate::harness::{Vault, run};

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

    /// That check failed and no other, for that cause and with that remedy, and the exit code is 1.
    #[track_caller]
    fn only(&self, name: &str, cause: &str, mend: &str) {
        assert_eq!((self.code, self.with_result("failed")), (1, vec![name]), "{:#}", self.report);
        let check = self.check(name);
        let text = |field: &str| check[field].as_str().unwrap();
        assert!(text("cause").contains(cause) && text("mend").contains(mend), "{check:#}");
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

async fn ran(args: Vec<String>) -> (i32, String, String) {
    let run =
        move || run(&[&["preflight"][..], &args.iter().map(String::as_str).collect::<Vec<_>>()].concat());
    tokio::task::spawn_blocking(run).await.unwrap()
}

async fn checked_with(mut args: Vec<String>) -> Checked {
    args.push("--output=json".into());
    let (code, stdout, stderr) = ran(args).await;
    let report = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}\n{stderr}"));
    Checked { code, report }
}

async fn checked(vault: &Vault, more: &[String]) -> Checked {
    checked_with([args_without(vault, ""), more.to_vec()].concat()).await
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn patch(vault: &Vault, patch: KeyPatch) {
    let info = vault.emulator.info();
    vault.emulator.update_key(&info.key_name, &info.key_versions[0], patch).unwrap();
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
    let (code, text, _) = ran(args_without(&vault, "")).await;
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
async fn a_wrong_secret_is_explained_by_its_number() {
    let vault = Vault::start().await;
    let info = vault.emulator.info();
    let file =
        json!({ "tenantId": info.tenant_id, "aadClientId": info.client_id, "aadClientSecret": "wr0ng" });
    let wrong = checked(&vault, &[vault.azure_json(&file.to_string())]).await;
    wrong.only("token", "AADSTS7000215", "aadClientSecret");
    assert_eq!((wrong.result("vault-tls"), wrong.result("round-trip-v2")), ("passed", "skipped"));
    assert!(!wrong.report.to_string().contains("wr0ng"));
}

#[tokio::test]
async fn a_secret_that_everybody_may_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let vault = Vault::start().await;
    let path = vault.folder().join("azure.json");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = checked(&vault, &[]).await;
    assert_eq!((open.code, open.result("permissions")), (0, "warned"));
    assert!(open.check("permissions")["mend"].as_str().unwrap().starts_with("chmod"));
}

#[tokio::test]
async fn a_missing_root_is_named_by_who_issued_the_certificate() {
    let vault = Vault::start().await;
    let untrusted = checked_with(args_without(&vault, "--ca-file")).await;
    assert_eq!((untrusted.code, untrusted.with_result("failed")), (1, vec!["issuer-tls", "vault-tls"]));
    let check = untrusted.check("vault-tls");
    assert!(check["cause"].as_str().unwrap().contains("issued by CN="), "{check:#}");
    assert!(check["mend"].as_str().unwrap().contains("--ca-file"), "{check:#}");
    assert_eq!((untrusted.result("vault-tcp"), untrusted.result("token")), ("passed", "skipped"));
}

#[tokio::test]
async fn a_vault_whose_name_has_no_address_is_told_apart_from_one_that_takes_no_connection() {
    let vault = Vault::start().await;
    let info = vault.emulator.info().clone();
    let connect = format!("--connect-to={}=", info.vault_host);
    let args = [args_without(&vault, &connect), vec!["--keyvault-name=no-such-vault-here".into()]].concat();
    let nameless = checked_with(args).await;
    nameless.only("vault-name", "no-such-vault-here", "--keyvault-name");
    assert_eq!((nameless.result("token"), nameless.result("vault-tcp")), ("passed", "skipped"));

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = taken.local_addr().unwrap();
    drop(taken);
    let closed = checked(&vault, &[format!("{connect}{nobody}")]).await;
    closed.only("vault-tcp", "refused", "firewall");
}

#[tokio::test]
async fn no_role_a_role_that_may_not_read_and_the_firewall_are_told_apart() {
    let vault = Vault::start().await;
    let client = vault.emulator.info().client_id.clone();
    let permit = |operations: &[&str]| {
        let operations = operations.iter().map(|name| (*name).to_owned()).collect();
        vault.emulator.set_permissions([(client.clone(), operations)].into());
    };
    permit(&[]);
    let none = checked(&vault, &[]).await;
    assert_eq!((none.code, none.with_result("failed")), (1, vec!["round-trip-v2", "round-trip-v1"]));
    let check = none.check("round-trip-v2");
    assert!(check["cause"].as_str().unwrap().contains("ForbiddenByRbac"), "{check:#}");
    let mend = check["mend"].as_str().unwrap();
    assert!(
        mend.starts_with("az role assignment create --role \"Key Vault Crypto User\"")
            && mend.contains(&client)
    );

    permit(&["encrypt", "decrypt"]);
    let enough = checked(&vault, &[]).await;
    assert_eq!((enough.code, enough.result("key"), enough.result("round-trip-v1")), (0, "skipped", "passed"));

    vault.emulator.set_permissions([].into());
    let firewall = FaultSet { error_rate: 1.0, status: Some(403), ..FaultSet::default() };
    vault.emulator.set_faults(Faults { vault: firewall, ..Faults::default() });
    let outside = checked(&vault, &[]).await;
    outside.only("vault-access", "ForbiddenByFirewall", "az keyvault network-rule add");
}

#[tokio::test]
async fn a_key_version_that_does_not_exist_is_looked_for_with_a_command() {
    let vault = Vault::start().await;
    let missing = checked(&vault, &[format!("--key-version={}", "0".repeat(32))]).await;
    missing.only("key", "KeyNotFound", "az keyvault key list-versions");
}

#[tokio::test]
async fn a_disabled_an_expired_and_an_early_key_are_told_apart() {
    let vault = Vault::start().await;
    patch(&vault, KeyPatch { enabled: Some(false), ..KeyPatch::default() });
    checked(&vault, &[]).await.only("key-enabled", "disabled", "--enabled true");
    patch(&vault, KeyPatch { enabled: Some(true), exp: Some(now() - 60), ..KeyPatch::default() });
    checked(&vault, &[]).await.only("key-validity", "expired", "--expires");
    patch(&vault, KeyPatch { exp: Some(now() + 3600), ..KeyPatch::default() });
    let soon = checked(&vault, &[]).await;
    assert_eq!((soon.code, soon.result("key-validity")), (0, "warned"));
    patch(&vault, KeyPatch { nbf: Some(now() + 1800), ..KeyPatch::default() });
    checked(&vault, &[]).await.only("key-validity", "not valid before", "--not-before");
}

#[tokio::test]
async fn an_operation_that_the_key_does_not_allow_is_named_with_the_whole_list_to_set() {
    let vault = Vault::start().await;
    let operations = Some(vec!["encrypt".into(), "sign".into()]);
    patch(&vault, KeyPatch { operations, ..KeyPatch::default() });
    checked(&vault, &[]).await.only("key-operations", "does not allow decrypt", "--ops encrypt sign decrypt");
    let wrap = checked(&vault, &["--key-operations=wrap".into()]).await;
    wrap.only(
        "key-operations",
        "does not allow wrapKey and unwrapKey",
        "--ops encrypt sign wrapKey unwrapKey",
    );
}

#[tokio::test]
async fn a_running_daemon_is_in_the_way_or_is_checked_itself_with_wait() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    let listen = format!("--listen-addr=unix://{}", daemon.socket.display());
    let taken = checked(&vault, std::slice::from_ref(&listen)).await;
    taken.only("socket", "listens at", "--wait");
    let waited = checked(&vault, &[listen.clone(), "--wait=30s".into()]).await;
    assert_eq!((waited.code, waited.result("ports")), (0, "skipped"), "{:#}", waited.report);
    for name in ["socket", "daemon-status", "daemon-v2", "daemon-v1"] {
        assert_eq!(waited.result(name), "passed");
    }
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
        (&[&version, "--encryption-config=/absent/encryption.yaml"], "/absent/encryption.yaml"),
    ] {
        let (code, stdout, stderr) = run(&[&complete[..], more].concat());
        assert!(code == 2 && stdout.is_empty() && stderr.contains(says), "{code} {stdout} {stderr}");
    }
    let (code, help, _) = run(&["preflight", "--help"]);
    assert!(code == 0 && help.contains("--encryption-config") && help.contains("--keyvault-name"), "{help}");
    assert!(help.starts_with("Checks everything the daemon needs"), "{help}");
}
