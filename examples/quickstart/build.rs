//! Builds the two programs with the cargo that runs this example.

use std::path::PathBuf;
use std::process::Command;

/// The folder of the programs.
pub(crate) struct Programs(PathBuf);

impl Programs {
    /// The path of that one.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// Builds both, beside this example and in its profile. The daemon gets the fault injection that the crash needs.
pub(crate) fn programs() -> Result<Programs, String> {
    let this = std::env::current_exe().map_err(|error| format!("where is this program? {error}"))?;
    let folder = this.parent().and_then(|examples| examples.parent()).ok_or("this program has no folder")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--workspace", "--bins", "--example", "quickstart"]);
    build.args(["--features", "azure-kms-provider/fault-injection"]);
    build.arg("--manifest-path").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    if folder.ends_with("release") {
        build.arg("--release");
    }
    let built = build.status().map_err(|error| format!("cargo build: {error}"))?;
    match built.success() {
        true => Ok(Programs(folder.to_owned())),
        false => Err("the programs could not be built; see above".into()),
    }
}
