//! The emulator in this process, and the daemon against it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

use akv_emulator::{Emulator, Options};
use kms_testkit::without_proxies;
pub(crate) use kms_testkit::{Client, Daemon, Load, Start};
use tempfile::TempDir;

pub(crate) const DAEMON: &str = env!("CARGO_BIN_EXE_azure-kms-provider");

/// An emulator in this process, in a folder of its own.
pub(crate) struct Vault {
    pub(crate) emulator: Emulator,
    pub(crate) dir: TempDir,
}

impl Vault {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let emulator = Emulator::start(Options::new(dir.path().join("akv"))).await.unwrap();
        Self { emulator, dir }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.path().join("akv")
    }

    /// A daemon with the emulator's flags and a socket beside the emulator's folder.
    pub(crate) fn daemon(&self) -> Start {
        let args = std::fs::read_to_string(self.folder().join("args")).unwrap();
        self.daemon_with(args.lines().map(str::to_owned).collect())
    }

    /// A daemon with those flags instead.
    pub(crate) fn daemon_with(&self, args: Vec<String>) -> Start {
        Start::new(DAEMON, self.dir.path(), args)
    }

    /// Another `azure.json`, as a flag.
    pub(crate) fn azure_json(&self, content: &str) -> String {
        let path = self.dir.path().join("azure.json");
        std::fs::write(&path, content).unwrap();
        format!("--config-file-path={}", path.display())
    }

    /// Stops the emulator and returns what starts it again at the same addresses.
    pub(crate) async fn stop(self) -> (Options, TempDir) {
        let info = self.emulator.info().clone();
        let address = |url: &str| Some(url.trim_start_matches("http://").parse().unwrap());
        let options = Options {
            listen: Some(info.vault_addr),
            imds_listen: address(&info.imds_url),
            control_listen: address(&info.control_url),
            ..Options::new(self.folder())
        };
        self.emulator.shutdown().await;
        (options, self.dir)
    }

    pub(crate) async fn restart((options, dir): (Options, TempDir)) -> Self {
        Self { emulator: Emulator::start(options).await.unwrap(), dir }
    }

    pub(crate) fn key_id(&self) -> String {
        let info = self.emulator.info();
        key_id(info, &info.vault_host)
    }
}

/// The first key version's public name at that host, made by the rule and not by the daemon.
pub(crate) fn key_id(info: &akv_emulator::Info, host: &str) -> String {
    let url = format!("https://{host}/keys/{}/{}", info.key_name, info.key_versions[0]);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, url.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs the program, and returns its exit code and what it wrote to stdout and stderr.
pub(crate) fn run(args: &[&str]) -> (i32, String, String) {
    run_with(args, &[])
}

/// The same with those variables in its environment, and of proxies no others.
pub(crate) fn run_with(args: &[&str], env: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(DAEMON);
    let output = without_proxies(&mut command).args(args).envs(env.iter().copied()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

pub(crate) fn annotation(annotations: &HashMap<String, Vec<u8>>, name: &str) -> String {
    String::from_utf8(annotations[name].clone()).unwrap()
}
