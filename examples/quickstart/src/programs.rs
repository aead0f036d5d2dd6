//! Builds the programs with the cargo that runs this one.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the programs.
pub(crate) struct Programs(PathBuf);

impl Programs {
    /// Returns the path of that one.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// Builds them in the folder and the profile of this program, with the features that `Cargo.toml` explains.
///
/// # Errors
/// Fails if cargo cannot be started, or does not succeed; it has written why.
pub(crate) fn build() -> Result<Programs, String> {
    let this = std::env::current_exe().map_err(|error| format!("the path of this program: {error}"))?;
    let is_folder = |folder: &&Path| !folder.ends_with("examples");
    let folder = this.ancestors().skip(1).find(is_folder).ok_or("this program has no folder")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--bins", "--features", "quickstart/fault-injection"]);
    for package in ["akv-emulator", "azure-kms-provider", "kms-testkit", "quickstart"] {
        build.args(["--package", package]);
    }
    build.arg("--manifest-path").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    if folder.ends_with("release") {
        build.arg("--release");
    }
    let status = build.status().map_err(|error| format!("cargo build: {error}"))?;
    if !status.success() {
        return Err("the programs could not be built; see above".into());
    }
    Ok(Programs(folder.to_owned()))
}
