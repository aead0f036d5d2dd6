//! The emulator in this process, the daemon in another, and the credential that is rotated.

use std::path::PathBuf;
use std::time::Duration;

use akv_emulator::{Application, ClientSecret, Emulator};
use kms_testkit::{Daemon, Start};
use serde_json::json;
use tempfile::TempDir;

use crate::programs::Programs;

/// Tokens expire all the time; a third of this is longer than Entra ID is ever down.
const TOKEN_LIFETIME: Duration = Duration::from_secs(30);

/// The running daemon and emulator. They end, and their folder is removed, when it is dropped.
pub(crate) struct World {
    pub(crate) daemon: Daemon,
    pub(crate) emulator: Emulator,
    azure_json: PathBuf,
    _folder: TempDir,
}

impl World {
    /// Starts both, and waits until the daemon is healthy.
    ///
    /// # Errors
    /// A file cannot be written, a program does not start, or the daemon does not become healthy in time.
    pub(crate) async fn start(programs: &Programs) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        let vault = folder.path().join("vault");
        let emulator = Emulator::start(akv_emulator::Options::new(&vault)).await;
        let emulator = emulator.map_err(|error| error.to_string())?;
        emulator.set_token_lifetime(TOKEN_LIFETIME);
        let args = std::fs::read_to_string(vault.join("args")).map_err(|error| format!("args: {error}"))?;
        let azure_json = folder.path().join("azure.json");
        write_secret(&emulator, &azure_json, "secret-0")?;
        let daemon = Start::new(
            programs.path("azure-kms-provider"),
            folder.path(),
            args.lines().map(str::to_owned).collect(),
        )
        .arg(format!("--config-file-path={}", azure_json.display()))
        .arg("--reload-interval=500ms")
        .arg("--keyvault-qps=100000")
        .arg("--keyvault-burst=100000")
        .try_spawn()?;
        daemon.process.wait_for("\"Healthy\"", 1).await?;
        Ok(Self { daemon, emulator, azure_json, _folder: folder })
    }

    /// Replaces the client secret as an operator does: the new one is registered first.
    ///
    /// # Errors
    /// The emulator refuses the new secret, or `azure.json` cannot be replaced.
    pub(crate) fn rotate_secret(&self, number: u64) -> Result<(), String> {
        write_secret(&self.emulator, &self.azure_json, &format!("secret-{number}"))
    }
}

/// Registers the secret beside the one in the file, then replaces the file.
///
/// # Errors
/// The emulator refuses the application, or the file cannot be written.
fn write_secret(emulator: &Emulator, azure_json: &PathBuf, secret: &str) -> Result<(), String> {
    let info = emulator.info();
    let kept = std::fs::read_to_string(azure_json).unwrap_or_default();
    let old: serde_json::Value = serde_json::from_str(&kept).unwrap_or_default();
    let old = old["aadClientSecret"].as_str().unwrap_or(secret);
    let client_secrets = Some(vec![ClientSecret::from(old), ClientSecret::from(secret)]);
    let registered = Application { client_secrets, ..Application::default() };
    emulator.set_application(registered).map_err(|error| error.to_string())?;
    let file =
        json!({ "tenantId": info.tenant_id, "aadClientId": info.client_id, "aadClientSecret": secret });
    let new = azure_json.with_extension("new");
    let written = std::fs::write(&new, file.to_string()).and_then(|()| std::fs::rename(&new, azure_json));
    written.map_err(|error| format!("{}: {error}", azure_json.display()))
}
