//! Reads and checks all flags and files, and reports every problem at once.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use super::access::{Access, AccessSource, Env};
use super::cloud::{Cloud, Service};
use super::key::{
    KeyConfig, KeyNames, Operations, check_key_name, check_key_version, check_vault_name, trim,
};
use super::listen::ListenAddr;
use super::network::{self, NetworkConfig};
use super::problems::Problems;
use super::types::{AdmissionConfig, AssertionConfig, Config, HealthzConfig, OnOutage, StatusPolicy};
use super::values::{
    EVERYWHERE, any_duration, audit_log, bind_address, healthz_path, metrics_addr, metrics_backend, port,
    positive_duration, positive_number, verbosity,
};
use super::{supervision, telemetry, warnings};
use crate::cli::Flags;

/// Reads and checks everything: the configuration, and the access as its files are now.
///
/// # Errors
/// A flag, a variable or a file is wrong: every problem there is.
pub(crate) fn load(flags: &Flags, env: Arc<Env>) -> Result<(Config, Access), Problems> {
    let mut problems = Problems::default();
    let names = key_names(flags, &mut problems);
    let operations = problems.flag("key-operations", Operations::parse(&flags.key_operations));
    let listen = problems.flag("listen-addr", ListenAddr::parse(&flags.listen_addr));
    let admission = admission(flags, &mut problems);
    let supervision = supervision::read(flags, &mut problems);
    let bind = problems.flag("bind-address", bind_address(&flags.bind_address)).unwrap_or(EVERYWHERE);
    let healthz = healthz(flags, bind, &mut problems);
    let status_policy = status_policy(flags, &mut problems);
    let health_interval = problems.flag("health-interval", positive_duration(&flags.health_interval));
    let reload_interval = problems.flag("reload-interval", positive_duration(&flags.reload_interval));
    let metrics_addr = problems.flag("metrics-addr", metrics_addr(&flags.metrics_addr, bind));
    let traces = telemetry::traces(flags, &mut problems);
    let assertion = problems.flag("client-assertion", assertion(flags));
    let audit_log = problems.flag("audit-log", audit_log(&flags.audit_log));
    problems.flag("v", verbosity(&flags.verbosity));
    problems.flag("metrics-backend", metrics_backend(&flags.metrics_backend));
    problems.flag("metrics-addr", own_port(metrics_addr, healthz.as_ref()));
    let access_source = access_source(flags, env, &mut problems);
    let access = problems.all(access_source.load());
    let key = access.as_ref().zip(names.zip(operations));
    let key = key.and_then(|(access, (names, operations))| {
        let service = service(&access.cloud, flags.managed_hsm == "true");
        Some(KeyConfig::new(names, problems.flag("managed-hsm", service)?, operations))
    });
    let complete = || {
        let config = Config {
            listen: listen?,
            key: key?,
            access_source,
            reload_interval: reload_interval?,
            assertion: assertion?,
            admission: admission?,
            status_policy: status_policy?,
            supervision: supervision?,
            health_interval: health_interval?,
            healthz: healthz?,
            metrics_addr: metrics_addr?,
            traces,
            audit_log: audit_log?,
            flags: flags.redacted(),
            warnings: Vec::new(),
        };
        Some((config, access?))
    };
    let complete = complete().filter(|_| problems.0.is_empty());
    let (config, access) = complete.ok_or(problems)?;
    let warnings = warnings::of(flags, &config, &access);
    Ok((Config { warnings, ..config }, access))
}

fn key_names(flags: &Flags, problems: &mut Problems) -> Option<KeyNames> {
    let [vault, key, version] =
        [&flags.keyvault_name, &flags.key_name, &flags.key_version].map(|flag| trim(flag).to_owned());
    let checks = [
        problems.flag("keyvault-name", check_vault_name(&vault)),
        problems.flag("key-name", check_key_name(&key)),
        problems.flag("key-version", check_key_version(&version)),
    ];
    checks.iter().all(Option::is_some).then_some(KeyNames { vault, key, version })
}

/// Returns the service that holds the key.
///
/// # Errors
/// The cloud has no managed HSMs, and one is asked for.
fn service(cloud: &Cloud, is_managed_hsm: bool) -> Result<&Service, String> {
    if is_managed_hsm {
        cloud.managed_hsms.as_ref().ok_or_else(|| "this cloud has no managed HSMs".to_owned())
    } else {
        Ok(&cloud.vaults)
    }
}

fn access_source(flags: &Flags, env: Arc<Env>, problems: &mut Problems) -> AccessSource {
    let connect_to: Vec<_> =
        flags.connect_to.iter().map(|text| problems.flag("connect-to", network::connect_to(text))).collect();
    let imds_base = problems.note(network::imds_base(&*env));
    let network = NetworkConfig {
        connect_to: connect_to.into_iter().flatten().collect(),
        ca_files: Vec::new(),
        imds_base: imds_base.unwrap_or_default(),
        proxy: proxy(flags, problems),
    };
    let config_file = PathBuf::from(&flags.config_file_path);
    AccessSource { config_file, ca_files: flags.ca_file.clone(), network, env }
}

fn proxy(flags: &Flags, problems: &mut Problems) -> Option<reqwest::Url> {
    if flags.proxy_mode != "true" {
        return None;
    }
    let port = problems.flag("proxy-port", port(&flags.proxy_port))?;
    problems.flag("proxy-address", network::proxy(&flags.proxy_address, &port.to_string()))
}

/// Reads the algorithm and the header of client assertions.
///
/// # Errors
/// The algorithm is neither PS256 nor RS256.
fn assertion(flags: &Flags) -> Result<AssertionConfig, String> {
    let has_chain = flags.send_certificate_chain == "true";
    match flags.client_assertion.to_ascii_uppercase().as_str() {
        "PS256" => Ok(AssertionConfig { is_rs256: false, has_chain }),
        "RS256" => Ok(AssertionConfig { is_rs256: true, has_chain }),
        other => Err(format!("{other:?} must be PS256 or RS256")),
    }
}

/// Reads the flags; `None` when there is a problem.
pub(super) fn admission(flags: &Flags, problems: &mut Problems) -> Option<AdmissionConfig> {
    let qps = problems.flag("keyvault-qps", positive_number(&flags.keyvault_qps));
    let burst = problems.flag("keyvault-burst", positive_number(&flags.keyvault_burst));
    let max_in_flight = problems.flag("max-in-flight", positive_number(&flags.max_in_flight));
    Some(AdmissionConfig { qps: qps?, burst: burst?, max_in_flight: max_in_flight? })
}

/// Reads the flags; `None` when there is a problem.
pub(super) fn status_policy(flags: &Flags, problems: &mut Problems) -> Option<StatusPolicy> {
    let on_outage = problems.flag("status-on-outage", OnOutage::parse(&flags.status_on_outage));
    let coast_limit = problems.flag("coast-limit", any_duration(&flags.coast_limit));
    let coast_limit = coast_limit.map(|limit| Some(limit).filter(|limit| !limit.is_zero()));
    Some(StatusPolicy { on_outage: on_outage?, coast_limit: coast_limit? })
}

fn healthz(flags: &Flags, bind: IpAddr, problems: &mut Problems) -> Option<HealthzConfig> {
    let port = problems.flag("healthz-port", port(&flags.healthz_port));
    let path = problems.flag("healthz-path", healthz_path(&flags.healthz_path));
    let timeout = problems.flag("healthz-timeout", positive_duration(&flags.healthz_timeout));
    Some(HealthzConfig { addr: SocketAddr::new(bind, port?.get()), path: path?, timeout: timeout? })
}

/// Checks that the metrics have a port of their own.
///
/// # Errors
/// The health checks have the same port.
fn own_port(metrics: Option<SocketAddr>, healthz: Option<&HealthzConfig>) -> Result<(), String> {
    match (metrics.map(|addr| addr.port()), healthz.map(|healthz| healthz.addr.port())) {
        (Some(port), Some(taken)) if port == taken => Err(format!("port {port} is --healthz-port's already")),
        _ => Ok(()),
    }
}
