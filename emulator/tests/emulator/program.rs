//! The program `akv-emulator`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use akv_emulator::Info;
use serde_json::Value;

use crate::harness::client;

const PROGRAM: &str = env!("CARGO_BIN_EXE_akv-emulator");

/// The running program, which ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}

impl Running {
    /// Starts it in a working directory with a folder relative to that, and waits for `ready`.
    fn start(current: &Path, dir: &str) -> Self {
        let mut command = Command::new(PROGRAM);
        let command = command.args(["--dir", dir]).current_dir(current).stdout(Stdio::piped());
        let mut running = Self(command.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(running.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        running
    }

    fn terminate(&mut self) -> Option<i32> {
        let kill = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(kill.success());
        self.0.wait().unwrap().code()
    }
}

fn read_json(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn run(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).output().unwrap()
}

#[tokio::test]
async fn when_it_is_ready_its_files_lead_to_it_and_a_signal_ends_it_well() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = Running::start(dir.path(), "akv");
    let akv = dir.path().join("akv").canonicalize().unwrap();
    let info: Info = serde_json::from_value(read_json(&akv.join("emulator.json"))).unwrap();
    let url = format!("https://{}/keys/{}?api-version=7.4", info.vault_host, info.key_name);
    assert_eq!(client(&info, &akv).get(url).send().await.unwrap().status().as_u16(), 401);
    assert_eq!(running.terminate(), Some(0));
}

#[test]
fn its_files_have_the_documented_fields() {
    let dir = tempfile::tempdir().unwrap();
    let _running = Running::start(dir.path(), "akv");
    let akv = dir.path().join("akv").canonicalize().unwrap();
    let info = read_json(&akv.join("emulator.json"));
    for field in [
        "vault_host",
        "vault_addr",
        "managed_hsm_host",
        "authority_host",
        "authority_addr",
        "imds_url",
        "control_url",
        "proxy_url",
        "tenant_id",
        "client_id",
        "client_secret",
        "key_name",
        "ca_file",
    ] {
        assert!(info[field].is_string(), "{field}");
    }
    assert_eq!(info["key_versions"].as_array().unwrap().len(), 1);
    assert_eq!(info["ca_file"], akv.join("ca.pem").display().to_string());
    let principal = read_json(&akv.join("azure.json"));
    assert_eq!(principal["aadClientSecret"], info["client_secret"]);
    let identity = read_json(&akv.join("azure-msi.json"));
    assert_eq!(identity["useManagedIdentityExtension"], true);
}

#[test]
fn the_flags_are_plain_lines_with_whole_paths() {
    let dir = tempfile::tempdir().unwrap();
    let _running = Running::start(dir.path(), "akv");
    let akv = dir.path().join("akv").canonicalize().unwrap();
    let info = read_json(&akv.join("emulator.json"));
    let (akv, addr) = (akv.display(), info["vault_addr"].as_str().unwrap());
    let expected = format!(
        "--keyvault-name=emulator\n--key-name=k8s\n--key-version={}\n--config-file-path={akv}/azure.json\n\
         --connect-to=emulator.vault.azure.net={addr}\n\
         --connect-to=login.microsoftonline.com={addr}\n--ca-file={akv}/ca.pem\n",
        info["key_versions"][0].as_str().unwrap()
    );
    assert_eq!(std::fs::read_to_string(format!("{akv}/args")).unwrap(), expected);
}

#[test]
fn xargs_reads_the_flags_of_a_folder_of_any_name() {
    let dir = tempfile::tempdir().unwrap();
    let name = r#"it's a "test" \ folder"#;
    let _running = Running::start(dir.path(), name);
    let args = dir.path().join(name).join("args");
    let output = Command::new("xargs").arg("-a").arg(args).args(["printf", "%s\\n"]).output().unwrap();
    let ca_file = dir.path().canonicalize().unwrap().join(name).join("ca.pem");
    let flags = String::from_utf8(output.stdout).unwrap();
    let flags: Vec<&str> = flags.lines().collect();
    assert_eq!((flags.len(), flags[6]), (7, format!("--ca-file={}", ca_file.display()).as_str()));
}

#[test]
fn an_address_that_others_can_reach_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    for flag in ["--listen", "--imds-listen", "--control-listen", "--proxy-listen"] {
        let output = run(&["--dir", path, flag, "0.0.0.0:0"]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{flag}");
        assert!(error.contains("0.0.0.0:0 is not loopback"), "{error}");
    }
    assert!(!dir.path().join("emulator.json").exists());
}
