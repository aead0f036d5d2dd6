//! `preflight`: tries everything that the daemon will need, in the order in which it will need it, and names the fix of
//! each thing that is wrong. Changes nothing, and starts no actor.
//!
//! A check that needs one that failed is skipped, so that the first ✗ is the one to fix. `checks` has the table of what
//! needs what.

mod advice;
mod checks;
mod clock;
mod daemon;
mod encryption_config;
mod files;
mod identity;
mod key;
mod network;
mod report;
mod round_trip;
mod route;
mod socket;

use std::path::Path;
use std::time::Duration;

use chrono::Utc;
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::cli::{CliExit, Preflight};
use crate::config::{self, Access, Config, ListenAddr};
use crate::kms::KeyVersion;
use crate::vault::{Failure, Token, VaultError};
use advice::Advice;
use checks::Check;
use report::{Format, Report};

/// The exit code when the checks could not run.
const COULD_NOT_RUN: u8 = 2;

/// Runs every check: 0 when none failed, 1 when one did, 2 when they could not run.
pub(crate) fn preflight(flags: &Preflight) -> CliExit {
    match Plan::new(flags).and_then(Plan::run) {
        Ok((report, format)) => {
            CliExit { message: report.print(format), code: report.code(), is_for_stdout: true }
        }
        Err(problem) => CliExit { message: problem, code: COULD_NOT_RUN, is_for_stdout: false },
    }
}

/// The flags, read and checked.
struct Plan {
    format: Format,
    /// The time to wait for a daemon that is expected to run.
    wait: Option<Duration>,
    listen: ListenAddr,
    is_managed_hsm: bool,
    read: files::Read,
    /// The path and content of `--encryption-config`.
    encryption_config: Option<(String, String)>,
}

impl Plan {
    /// Reads the flags and the files that they name.
    ///
    /// # Errors
    /// A flag is wrong, or a file cannot be read or parsed.
    fn new(flags: &Preflight) -> Result<Self, String> {
        let format = Format::parse(&flags.output)?;
        let wait = config::any_duration(&flags.wait).map_err(|problem| format!("--wait: {problem}"))?;
        let read = files::read(&flags.daemon)?;
        let listen = ListenAddr::parse(&flags.daemon.listen_addr);
        let listen = listen.map_err(|problem| format!("--listen-addr: {problem}"))?;
        let path = flags.encryption_config.as_deref();
        let encryption_config = path.map(encryption_config).transpose()?;
        let wait = Some(wait).filter(|wait| !wait.is_zero());
        let is_managed_hsm = flags.daemon.managed_hsm == "true";
        Ok(Self { format, wait, listen, is_managed_hsm, read, encryption_config })
    }

    /// Runs the checks on a runtime of their own.
    ///
    /// # Errors
    /// The runtime cannot be created.
    fn run(self) -> Result<(Report, Format), String> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("no threads: {error}"))?;
        let format = self.format;
        Ok((runtime.block_on(self.checks()), format))
    }

    async fn checks(self) -> Report {
        let mut report = Report::default();
        report.add(self.read.results);
        if let Some((config, access)) = &self.read.ready {
            azure_checks(&mut report, config, access, self.is_managed_hsm).await;
        }
        let config = self.read.ready.as_ref().map(|(config, _)| config);
        local_checks(&mut report, &self.listen, config, self.wait).await;
        if let Some((path, content)) = &self.encryption_config {
            report.add(encryption_config::checks(path, content, &self.listen));
        }
        report.finish()
    }
}

/// Reads the file. An empty path is often that of a variable that is not set: to compare nothing would hide that.
///
/// # Errors
/// The path is empty, or the file cannot be read or is not UTF-8.
fn encryption_config(path: &str) -> Result<(String, String), String> {
    if path.is_empty() {
        return Err("--encryption-config: names no file; leave the flag out to compare none".into());
    }
    let named = |problem: String| format!("--encryption-config {path}: {problem}");
    let content = config::read_file(Path::new(path)).map_err(named)?;
    let content = String::from_utf8(content.to_vec()).map_err(|_| named("is not UTF-8".into()))?;
    Ok((path.to_owned(), content))
}

/// Makes the checks of the socket, its owner and the ports.
async fn local_checks(
    report: &mut Report,
    listen: &ListenAddr,
    config: Option<&Config>,
    wait: Option<Duration>,
) {
    report.add([socket::folder(listen), socket::owner(listen, wait.is_some()).await]);
    if let Some(wait) = wait {
        report.add([Check::Ports.skipped("since a running daemon has them")]);
        report.add(daemon::checks(listen, wait).await);
    } else if let Some(config) = config.filter(|_| !report.must_skip(Check::Ports)) {
        report.add([socket::ports(config).await]);
    }
}

/// Makes the checks on the way to the key.
async fn azure_checks(report: &mut Report, config: &Config, access: &Access, is_managed_hsm: bool) {
    let (issuer, vault) = (network::to_issuer(access).await, network::to_vault(config, access).await);
    report.add(issuer.results);
    report.add(vault.results);
    report.add([clock::check(vault.date.as_deref().or(issuer.date.as_deref()), Utc::now())]);
    if report.must_skip(Check::Token) {
        return;
    }
    let token = match identity::token(config, access).await {
        Ok((token, result)) => {
            report.add([result]);
            token
        }
        Err(failed) => return report.add([failed]),
    };
    if !report.must_skip(Check::VaultAccess) {
        key_checks(report, config, access, token, is_managed_hsm).await;
    }
}

/// Makes the checks of the key, and round trips with it.
async fn key_checks(
    report: &mut Report,
    config: &Config,
    access: &Access,
    token: Token,
    is_managed_hsm: bool,
) {
    let advice = Advice::new(&config.key, access, is_managed_hsm);
    let vault = match round_trip::vault(config, access, token) {
        Ok(vault) => vault,
        Err(cause) => return report.add([Check::VaultAccess.failed(cause, "correct that flag")]),
    };
    let version = KeyVersion::new(&config.key.key_url(), &config.key.name, &config.key.version);
    let described = timeout(round_trip::STEP, vault.describe(&version)).await;
    let described = described.unwrap_or_else(|_| Err(VaultError::without_answer(Failure::TimedOut)));
    report.add(key::checks(&advice, &described));
    if !report.must_skip(Check::RoundTripV2) {
        report.add(round_trip::checks(&advice, &vault, &version).await);
    }
}
