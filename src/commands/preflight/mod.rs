//! `preflight`: tries everything that the daemon will need, in the order in which it will need it, and says of each
//! thing that is wrong what mends it. Changes nothing, and starts no actor.
//!
//! A check that depends on one that failed is skipped, so that the first ✗ is the one to mend.

mod advice;
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
use report::{Check, Format, Report};

/// The exit code of checks that could not run.
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

/// What is checked, from flags that make sense.
struct Plan {
    format: Format,
    /// How long to wait for a daemon that is expected to run.
    wait: Option<Duration>,
    listen: ListenAddr,
    managed_hsm: bool,
    read: files::Read,
    /// Path and content of `--encryption-config`.
    encryption_config: Option<(String, String)>,
}

impl Plan {
    fn new(flags: &Preflight) -> Result<Self, String> {
        let format = Format::parse(&flags.output)?;
        let wait = config::any_duration(&flags.wait).map_err(|problem| format!("--wait: {problem}"))?;
        let read = files::read(&flags.daemon)?;
        let listen = ListenAddr::parse(&flags.daemon.listen_addr);
        let listen = listen.map_err(|problem| format!("--listen-addr: {problem}"))?;
        let path = flags.encryption_config.as_deref();
        let encryption_config = path.map(encryption_config).transpose()?;
        let wait = Some(wait).filter(|wait| !wait.is_zero());
        let managed_hsm = flags.daemon.managed_hsm == "true";
        Ok(Self { format, wait, listen, managed_hsm, read, encryption_config })
    }

    fn run(self) -> Result<(Report, Format), String> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("no threads: {error}"))?;
        let format = self.format;
        Ok((Report(runtime.block_on(self.checks())), format))
    }

    async fn checks(self) -> Vec<Check> {
        let mut checks = self.read.checks;
        match &self.read.ready {
            Some((config, access)) => checks.extend(azure(config, access, self.managed_hsm).await),
            None => checks.extend(skipped(&of_azure(), "since a file is missing or wrong")),
        }
        let config = self.read.ready.as_ref().map(|(config, _)| config);
        checks.extend(here(&self.listen, config, self.wait).await);
        if let Some((path, content)) = &self.encryption_config {
            checks.extend(encryption_config::checks(path, content, &self.listen));
        }
        checks
    }
}

/// An empty path is often that of a variable that is not set: nothing would be compared, and all be well.
fn encryption_config(path: &str) -> Result<(String, String), String> {
    if path.is_empty() {
        return Err("--encryption-config: names no file; leave the flag out to compare none".into());
    }
    let named = |problem: String| format!("--encryption-config {path}: {problem}");
    let content = config::read_file(Path::new(path)).map_err(named)?;
    let content = String::from_utf8(content.to_vec()).map_err(|_| named("is not UTF-8".into()))?;
    Ok((path.to_owned(), content))
}

fn skipped(names: &[&'static str], why: &str) -> Vec<Check> {
    names.iter().map(|name| Check::skipped(name, why)).collect()
}

/// The socket, its peer and the ports.
async fn here(listen: &ListenAddr, config: Option<&Config>, wait: Option<Duration>) -> Vec<Check> {
    let mut checks = vec![socket::folder(listen), socket::holder(listen, wait.is_some()).await];
    let taken = checks.iter().any(Check::has_failed);
    checks.push(match (wait, config) {
        (Some(_), _) => Check::skipped(socket::PORTS, "since a running daemon has them"),
        (None, Some(config)) if !taken => socket::ports(config).await,
        (None, Some(_)) => Check::skipped(socket::PORTS, "since the socket is not free"),
        (None, None) => Check::skipped(socket::PORTS, "since a file is missing or wrong"),
    });
    if let Some(wait) = wait {
        checks.extend(daemon::checks(listen, wait).await);
    }
    checks
}

/// Everything on the way to the key.
async fn azure(config: &Config, access: &Access, managed_hsm: bool) -> Vec<Check> {
    let (issuer, vault) = (network::to_issuer(access).await, network::to_vault(config, access).await);
    let mut checks = [issuer.checks, vault.checks].concat();
    checks.push(clock::check(vault.date.as_deref().or(issuer.date.as_deref()), Utc::now()));
    if !issuer.answers {
        checks.push(Check::skipped(identity::TOKEN, "since its issuer does not answer"));
        checks.extend(skipped(&of_the_vault(), "since there is no token"));
        return checks;
    }
    match identity::token(config, access).await {
        Ok((token, check)) => {
            checks.push(check);
            match vault.answers {
                true => checks.extend(with_key(config, access, token, managed_hsm).await),
                false => checks.extend(skipped(&of_the_vault(), "since the vault does not answer")),
            }
        }
        Err(failed) => {
            checks.push(failed);
            checks.extend(skipped(&of_the_vault(), "since token failed"));
        }
    }
    checks
}

async fn with_key(config: &Config, access: &Access, token: Token, managed_hsm: bool) -> Vec<Check> {
    let advice = Advice::new(&config.key, access, managed_hsm);
    let vault = match round_trip::vault(config, access, token) {
        Ok(vault) => vault,
        Err(cause) => {
            let failed = Check::failed(key::ACCESS, cause, "correct that flag");
            let rest = skipped(&of_the_vault()[1..], "since vault-access failed");
            return std::iter::once(failed).chain(rest).collect();
        }
    };
    let version = KeyVersion::new(&config.key.key_url(), &config.key.name, &config.key.version);
    let described = timeout(round_trip::STEP, vault.describe(&version)).await;
    let described = described.unwrap_or_else(|_| Err(VaultError::without_answer(Failure::TimedOut)));
    let mut checks = key::checks(&advice, &described);
    let failed = checks.iter().find(|check| check.has_failed()).map(|check| check.name);
    match failed {
        None => checks.extend(round_trip::checks(&advice, &vault, &version).await),
        Some(name) => checks.extend(skipped(&round_trip::NAMES, &format!("since {name} failed"))),
    }
    checks
}

/// The names of all checks that need a token.
fn of_the_vault() -> Vec<&'static str> {
    [&[key::ACCESS][..], &key::OF_THE_KEY, &round_trip::NAMES].concat()
}

/// The names of all checks that need the files.
fn of_azure() -> Vec<&'static str> {
    let network = [network::ISSUER, network::VAULT].concat();
    [&network[..], &[clock::CLOCK, identity::TOKEN], &of_the_vault()].concat()
}
