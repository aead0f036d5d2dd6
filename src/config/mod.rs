//! The configuration: validated once, before anything starts. Everything later trusts it.
//!
//! Made by `app` from the flags, the environment and `azure.json`. Every problem is reported at once.

mod azure_json;
mod duration;
mod key;
mod listen;
mod network;
mod problems;
mod secret;
mod warnings;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use azure_json::{CredentialConfig, ManagedIdentity};
pub(crate) use key::KeyConfig;
pub(crate) use listen::ListenAddr;
pub(crate) use network::NetworkConfig;
pub(crate) use problems::Problems;
pub(crate) use secret::Secret;

use crate::cli::Flags;

/// Everything the daemon needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The gRPC socket.
    pub listen: ListenAddr,
    /// The key.
    pub key: KeyConfig,
    /// How to authenticate.
    pub credential: CredentialConfig,
    /// How to reach Azure.
    pub network: NetworkConfig,
    /// What the `KeyVaultActor` lets through.
    pub admission: AdmissionConfig,
    /// The time between two probes of the socket.
    pub health_interval: Duration,
    /// The health endpoints.
    pub healthz: HealthzConfig,
    /// The metrics endpoint.
    pub metrics_addr: SocketAddr,
    /// Where the credential was read.
    pub config_file: PathBuf,
    /// What is accepted but deserves a word.
    pub warnings: Vec<String>,
}

/// Limits on calls to Key Vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AdmissionConfig {
    /// Calls a second.
    pub qps: NonZeroU32,
    /// Calls at once.
    pub burst: NonZeroU32,
    /// Operations at the same time.
    pub max_in_flight: NonZeroU32,
}

/// Where healthz, livez and readyz are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HealthzConfig {
    /// All interfaces, as with the Go plugin: the kubelet probes the node's address.
    pub addr: SocketAddr,
    /// The path of healthz.
    pub path: String,
    /// How long the probes of the socket may take.
    pub timeout: Duration,
}

/// How to log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogConfig {
    /// Kubernetes' JSON instead of klog text.
    pub json: bool,
    /// `-v`.
    pub verbosity: u8,
}

impl LogConfig {
    /// How to log, as far as the flags are valid: also needed to report that they are not.
    pub(crate) fn of(flags: &Flags) -> Self {
        Self { json: flags.log_format_json == "true", verbosity: flags.verbosity.parse().unwrap_or(0) }
    }
}

/// Reads and checks everything.
///
/// # Errors
/// Every problem there is.
pub(crate) fn load(flags: &Flags, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Problems> {
    let mut problems = Problems::default();
    let key = key(flags, &mut problems);
    let listen = problems.flag("listen-addr", ListenAddr::parse(&flags.listen_addr));
    let network = network(flags, env, &mut problems);
    let admission = admission(flags, &mut problems);
    let healthz = healthz(flags, &mut problems);
    let health_interval = problems.flag("health-interval", positive_duration(&flags.health_interval));
    let metrics_addr = problems.flag("metrics-addr", metrics_addr(&flags.metrics_addr));
    problems.flag("v", verbosity(&flags.verbosity));
    unsupported(flags, &mut problems);
    if let (Some(healthz), Some(metrics)) = (&healthz, metrics_addr)
        && healthz.addr.port() == metrics.port()
    {
        problems.0.push(format!("--metrics-addr: port {} is --healthz-port's already", metrics.port()));
    }
    let config_file = PathBuf::from(&flags.config_file_path);
    let credential = credential(&config_file, &mut problems);
    let complete = || {
        let mut config = Config {
            listen: listen?,
            key: key?,
            credential: credential?,
            network: network?,
            admission: admission?,
            health_interval: health_interval?,
            healthz: healthz?,
            metrics_addr: metrics_addr?,
            config_file,
            warnings: Vec::new(),
        };
        config.warnings = warnings::of(flags, &config);
        Some(config)
    };
    complete().filter(|_| problems.0.is_empty()).ok_or(problems)
}

fn key(flags: &Flags, problems: &mut Problems) -> Option<KeyConfig> {
    let [vault, name, version] =
        [&flags.keyvault_name, &flags.key_name, &flags.key_version].map(|flag| key::trim(flag));
    let checks = [
        problems.flag("keyvault-name", key::check_vault_name(vault)),
        problems.flag("key-name", key::check_key_name(name)),
        problems.flag("key-version", key::check_key_version(version)),
    ];
    let valid = checks.iter().all(Option::is_some);
    valid.then(|| KeyConfig::new(vault, name.into(), version, flags.managed_hsm == "true"))
}

fn network(
    flags: &Flags,
    env: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems,
) -> Option<NetworkConfig> {
    let connect_to: Vec<_> =
        flags.connect_to.iter().map(|text| problems.flag("connect-to", network::connect_to(text))).collect();
    let ca_files: Vec<_> =
        flags.ca_file.iter().map(|path| problems.flag("ca-file", network::ca_file(path))).collect();
    let imds_base = problems.note(network::imds_base(env));
    Some(NetworkConfig {
        connect_to: connect_to.into_iter().collect::<Option<_>>()?,
        ca_files: ca_files.into_iter().collect::<Option<_>>()?,
        imds_base: imds_base?,
    })
}

fn admission(flags: &Flags, problems: &mut Problems) -> Option<AdmissionConfig> {
    let qps = problems.flag("keyvault-qps", positive_number(&flags.keyvault_qps));
    let burst = problems.flag("keyvault-burst", positive_number(&flags.keyvault_burst));
    let max_in_flight = problems.flag("max-in-flight", positive_number(&flags.max_in_flight));
    Some(AdmissionConfig { qps: qps?, burst: burst?, max_in_flight: max_in_flight? })
}

fn healthz(flags: &Flags, problems: &mut Problems) -> Option<HealthzConfig> {
    let port = problems.flag("healthz-port", port(&flags.healthz_port));
    let path = problems.flag("healthz-path", healthz_path(&flags.healthz_path));
    let timeout = problems.flag("healthz-timeout", positive_duration(&flags.healthz_timeout));
    Some(HealthzConfig { addr: everywhere(port?), path: path?, timeout: timeout? })
}

fn credential(file: &Path, problems: &mut Problems) -> Option<CredentialConfig> {
    azure_json::load(file).map_err(|found| problems.0.extend(found)).ok()
}

fn unsupported(flags: &Flags, problems: &mut Problems) {
    if !flags.metrics_backend.eq_ignore_ascii_case("prometheus") {
        problems
            .0
            .push(format!("--metrics-backend: {:?} is not known; only prometheus is", flags.metrics_backend));
    }
    if flags.proxy_mode == "true" {
        problems.0.push("--proxy-mode: not supported yet; for a private endpoint use --connect-to".into());
    }
}

/// All addresses of both families, as a Go listener without a host.
fn everywhere(port: NonZeroU16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port.get())
}

fn port(text: &str) -> Result<NonZeroU16, String> {
    text.parse().map_err(|_| format!("{text:?} must be a port from 1 to 65535"))
}

fn metrics_addr(text: &str) -> Result<SocketAddr, String> {
    match text.parse() {
        Ok(addr) => Ok(addr),
        Err(_) => port(text.strip_prefix(':').unwrap_or(text)).map(everywhere),
    }
}

fn positive_number(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| format!("{text:?} must be a whole number of at least 1"))
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration::parse(text).map_err(|problem| format!("{text:?} {problem}"))? {
        Duration::ZERO => Err("must be longer than 0".into()),
        duration => Ok(duration),
    }
}

fn verbosity(text: &str) -> Result<u8, String> {
    text.parse().map_err(|_| format!("{text:?} must be a number from 0 to 255"))
}

fn healthz_path(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte));
    match text {
        "/livez" | "/readyz" => Err(format!("{text} is an endpoint of its own")),
        _ if !text.starts_with('/') || text.len() < 2 || text.ends_with('/') || !plain => {
            Err(format!("{text:?} must begin with / and be a plain path such as /healthz"))
        }
        _ => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests;
