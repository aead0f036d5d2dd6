//! Compiles the KMS protos without a system protoc, and records what `--version` prints.

use std::error::Error;
use std::process::Command;

const PROTOS: [&str; 2] = ["proto/kms/v1beta1/api.proto", "proto/kms/v2/api.proto"];

/// Generates the code of the protos.
///
/// # Errors
/// A proto is invalid, or the generated code cannot be written.
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    for proto in PROTOS {
        let descriptors = protox::compile([proto], ["."])?;
        tonic_prost_build::configure().compile_fds(descriptors)?;
    }
    record_build();
    Ok(())
}

/// Records the commit and its time for `--version`. `GIT_SHA` and `SOURCE_DATE_EPOCH` (reproducible-builds.org) take the
/// place of git where there is no checkout.
fn record_build() {
    println!("cargo:rerun-if-env-changed=GIT_SHA");
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let commit =
        std::env::var("GIT_SHA").ok().or_else(|| output("git", &["rev-parse", "--short=12", "HEAD"]));
    let epoch =
        std::env::var("SOURCE_DATE_EPOCH").ok().or_else(|| output("git", &["log", "-1", "--format=%ct"]));
    println!("cargo:rustc-env=BUILD_COMMIT={}", commit.unwrap_or_else(|| "unknown".into()));
    println!("cargo:rustc-env=BUILD_EPOCH={}", epoch.unwrap_or_else(|| "0".into()));
}

fn output(program: &str, args: &[&str]) -> Option<String> {
    let out = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    (out.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
