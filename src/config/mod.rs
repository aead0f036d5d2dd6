//! The configuration: validated once, before anything starts. Everything later trusts it.
//!
//! Made by `app` from the flags, the environment and `azure.json`. Every problem is reported at once.

mod access;
mod certificate;
mod cloud;
mod credential;
mod data_plane;
mod duration;
mod environment;
mod fields;
mod files;
mod integer;
mod key;
mod listen;
mod network;
mod problems;
mod secret;
mod supervision;
mod telemetry;
mod values;
mod warnings;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use access::{Access, AccessSource, Contents, Env};
pub(crate) use certificate::ClientCertificate;
pub(crate) use cloud::Cloud;
pub(crate) use credential::{CredentialConfig, ManagedIdentity, Proof, ServicePrincipal};
pub(crate) use files::read as read_file;
pub(crate) use key::{KeyConfig, Operations, check_key_name, check_key_version, check_vault_name, trim};
pub(crate) use listen::ListenAddr;
pub(crate) use network::NetworkConfig;
pub(crate) use problems::Problems;
pub(crate) use secret::Secret;
pub(crate) use supervision::{LimitAction, SupervisionConfig};
pub(crate) use telemetry::{LogConfig, TracesConfig};
pub(crate) use values::{any_duration, audit_log, port, positive_duration};

use crate::cli::Flags;
use key::KeyNames;
use values::{
    EVERYWHERE, bind_address, healthz_path, metrics_addr, metrics_backend, on_outage, positive_number,
    verbosity,
};

/// Everything the daemon needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The gRPC socket.
    pub listen: ListenAddr,
    /// The key.
    pub key: KeyConfig,
    /// Where the credential comes from.
    pub access_source: AccessSource,
    /// The time between two looks at those files.
    pub reload_interval: Duration,
    /// How a client certificate signs.
    pub assertion: AssertionConfig,
    /// What the `KeyVaultActor` lets through.
    pub admission: AdmissionConfig,
    /// What Status answers in an outage.
    pub status_policy: StatusPolicy,
    /// How patient the supervisor is.
    pub supervision: SupervisionConfig,
    /// The time between two probes of the socket.
    pub health_interval: Duration,
    /// The health endpoints.
    pub healthz: HealthzConfig,
    /// The metrics endpoint.
    pub metrics_addr: SocketAddr,
    /// Where traces go, if anywhere.
    pub traces: Option<TracesConfig>,
    /// The file of the audit log, if there is to be one.
    pub audit_log: Option<PathBuf>,
    /// Every flag and its value, fit for everybody to see.
    pub flags: Vec<(String, String)>,
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

/// What Status answers while Key Vault does not serve, and may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StatusPolicy {
    /// Whether it goes on with the key_id.
    pub on_outage: OnOutage,
    /// For how long; `None` for as long as it lasts.
    pub coast_limit: Option<Duration>,
}

/// Whether Status goes on with the key_id in an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnOutage {
    /// It does: writes go on.
    Coast,
    /// It answers with an error: writes end with the write lease.
    Fail,
}

/// What the assertion of a client certificate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AssertionConfig {
    /// RS256 with a SHA-1 thumbprint, instead of PS256 with a SHA-256 thumbprint.
    pub rs256: bool,
    /// The whole chain in the header, for authentication by subject name and issuer.
    pub send_chain: bool,
}

/// Where healthz, livez and readyz are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HealthzConfig {
    /// By default on all interfaces, as with the Go plugin: the kubelet probes the node's address.
    pub addr: SocketAddr,
    /// The path of healthz.
    pub path: String,
    /// How long the probes of the socket may take.
    pub timeout: Duration,
}

/// Reads and checks everything: what stays, and the access as its files are now.
///
/// # Errors
/// Every problem there is.
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
    if let (Some(healthz), Some(metrics)) = (&healthz, metrics_addr)
        && healthz.addr.port() == metrics.port()
    {
        problems.0.push(format!("--metrics-addr: port {} is --healthz-port's already", metrics.port()));
    }
    let access_source = access_source(flags, env, &mut problems);
    let access = problems.all(access_source.load());
    let key = access.as_ref().zip(names.zip(operations));
    let key = key.and_then(|(access, (names, operations))| {
        let service = problems.flag("managed-hsm", service(&access.cloud, flags.managed_hsm == "true"))?;
        Some(KeyConfig::new(names, service, operations))
    });
    let complete = || {
        let mut config = Config {
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
        let access = access?;
        config.warnings = warnings::of(flags, &config, &access);
        Some((config, access))
    };
    complete().filter(|_| problems.0.is_empty()).ok_or(problems)
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

fn service(cloud: &Cloud, managed_hsm: bool) -> Result<&cloud::Service, String> {
    match managed_hsm {
        false => Ok(&cloud.vaults),
        true => cloud.managed_hsms.as_ref().ok_or_else(|| "this cloud has no managed HSMs".to_owned()),
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

fn assertion(flags: &Flags) -> Result<AssertionConfig, String> {
    let send_chain = flags.send_certificate_chain == "true";
    match flags.client_assertion.to_ascii_uppercase().as_str() {
        "PS256" => Ok(AssertionConfig { rs256: false, send_chain }),
        "RS256" => Ok(AssertionConfig { rs256: true, send_chain }),
        other => Err(format!("{other:?} must be PS256 or RS256")),
    }
}

fn admission(flags: &Flags, problems: &mut Problems) -> Option<AdmissionConfig> {
    let qps = problems.flag("keyvault-qps", positive_number(&flags.keyvault_qps));
    let burst = problems.flag("keyvault-burst", positive_number(&flags.keyvault_burst));
    let max_in_flight = problems.flag("max-in-flight", positive_number(&flags.max_in_flight));
    Some(AdmissionConfig { qps: qps?, burst: burst?, max_in_flight: max_in_flight? })
}

fn status_policy(flags: &Flags, problems: &mut Problems) -> Option<StatusPolicy> {
    let on_outage = problems.flag("status-on-outage", on_outage(&flags.status_on_outage));
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

/// What `crate::fuzzing` drives.
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing {
    use std::path::Path;

    use super::{certificate, cloud, credential, data_plane, fields};

    pub(crate) fn azure_json(content: &[u8]) {
        if let Ok(fields) = fields::Fields::parse(content) {
            let _ = credential::choose(&fields, &cloud::Cloud::public(), &|_| None);
        }
    }

    pub(crate) fn certificate(content: &[u8], password: &str) -> Result<usize, String> {
        certificate::parse(content, password).map(|(_, chain)| chain.len())
    }

    pub(crate) fn azure_stack(content: &[u8]) -> Result<String, String> {
        cloud::parse_stack(content).map(|cloud| cloud.authority_host)
    }

    pub(crate) fn data_plane_identity(content: &[u8]) {
        let _ = data_plane::parse(content, Path::new("/identity.json"));
    }
}

#[cfg(test)]
mod tests;
