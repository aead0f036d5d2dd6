//! The validated configuration, as the rest of the program takes it.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::access::AccessSource;
use super::key::KeyConfig;
use super::listen::ListenAddr;
use super::supervision::SupervisionConfig;
use super::telemetry::TracesConfig;

/// Everything the daemon needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The gRPC socket.
    pub listen: ListenAddr,
    /// The key.
    pub key: KeyConfig,
    /// The files that hold the credential and the roots to trust.
    pub access_source: AccessSource,
    /// The time between two looks at those files.
    pub reload_interval: Duration,
    /// The form of a client certificate's assertion.
    pub assertion: AssertionConfig,
    /// Limits on requests and on calls to Key Vault.
    pub admission: AdmissionConfig,
    /// The answer of Status in an outage.
    pub status_policy: StatusPolicy,
    /// Restarts of actors.
    pub supervision: SupervisionConfig,
    /// The time between two probes of the socket.
    pub health_interval: Duration,
    /// The health endpoints.
    pub healthz: HealthzConfig,
    /// The metrics endpoint.
    pub metrics_addr: SocketAddr,
    /// The export of traces; `None` for none.
    pub traces: Option<TracesConfig>,
    /// The file of the audit log; `None` for none.
    pub audit_log: Option<PathBuf>,
    /// Every flag and its value, with secrets replaced.
    pub flags: Vec<(String, String)>,
    /// Sentences on what is accepted but may not be meant.
    pub warnings: Vec<String>,
}

/// Limits on requests and on calls to Key Vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AdmissionConfig {
    /// Calls to Key Vault per second (`--keyvault-qps`).
    pub qps: NonZeroU32,
    /// Calls to Key Vault at once, before `qps` takes hold (`--keyvault-burst`).
    pub burst: NonZeroU32,
    /// Key operations at the same time (`--max-in-flight`); 1,000 more wait.
    pub max_in_flight: NonZeroU32,
}

/// The answer of Status while Key Vault does not serve, and may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StatusPolicy {
    /// The answer itself.
    pub on_outage: OnOutage,
    /// The longest time to coast through one outage; `None` for no limit.
    pub coast_limit: Option<Duration>,
}

/// The choice of `--status-on-outage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnOutage {
    /// The key_id and the reason: writes go on.
    Coast,
    /// An error: writes end with kube-apiserver's write lease, 3 minutes later.
    Fail,
}

impl OnOutage {
    /// Reads the value of the flag.
    ///
    /// # Errors
    /// It is neither `coast` nor `fail`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "coast" => Ok(Self::Coast),
            "fail" => Ok(Self::Fail),
            _ => Err(format!("{text:?} must be coast or fail")),
        }
    }
}

/// The form of a client certificate's assertion (RFC 7523).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AssertionConfig {
    /// True for RS256 with a SHA-1 thumbprint (`x5t`), false for PS256 with a SHA-256 thumbprint (`x5t#S256`).
    pub is_rs256: bool,
    /// True if the header has the whole chain (`x5c`), for authentication by subject name and issuer.
    pub has_chain: bool,
}

/// The endpoints healthz, livez and readyz.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HealthzConfig {
    /// The address; by default on all interfaces, as with the Go plugin: the kubelet probes the node's address.
    pub addr: SocketAddr,
    /// The path of healthz.
    pub path: String,
    /// The time limit of the health check's own probes of the socket.
    pub timeout: Duration,
}
