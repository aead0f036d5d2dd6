//! The flags of the daemon: names and defaults of the Go plugin, and ours.

use clap::Parser;
use serde::Serialize;

/// The program's name.
pub(crate) const PROGRAM: &str = "azure-kms-provider";
/// The default of `--listen-addr`, and of every other flag that names the daemon's socket.
pub(crate) const DEFAULT_LISTEN_ADDR: &str = "unix:///opt/azurekms.socket";
/// The default of `--healthz-port`.
pub(super) const DEFAULT_HEALTHZ_PORT: &str = "8787";
/// The default of `--proxy-port`.
pub(crate) const DEFAULT_PROXY_PORT: &str = "7788";

/// Returns true for a flag that may stand without a value: the help calls its value BOOL.
pub(super) fn is_boolean(flag: &clap::Arg) -> bool {
    flag.get_value_names().is_some_and(|names| names.iter().any(|name| name.as_str() == "BOOL"))
}

/// The flags as given: text, with defaults filled in.
#[derive(Clone, Debug, Parser, Serialize)]
#[command(
    name = PROGRAM,
    about = "KMS plugin for kube-apiserver: encrypts etcd with a key in Azure Key Vault",
    after_help = "Flags take one dash or two, and their value after '=' or as the next argument; BOOL only after '='. \
                  Durations are Go's: 500ms, 20s, 1m30s.\n\
                  Commands, each with its own --help: healthcheck asks a running daemon whether it is healthy; \
                  manifests prints the static pod and the encryption configuration for the given flags; \
                  preflight checks everything the daemon needs; status shows a daemon's state; \
                  completion prints a shell's completion script; man prints a manual page.",
    args_override_self = true,
    disable_help_flag = true,
    disable_version_flag = true
)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Flags {
    /// Address of the gRPC socket: unix:///PATH, or unix:///@NAME for an abstract socket
    #[arg(long, help_heading = "gRPC", default_value = DEFAULT_LISTEN_ADDR, value_name = "URL")]
    pub listen_addr: String,
    /// Key operations that run at the same time; 1000 more wait, decrypts first
    #[arg(long, help_heading = "gRPC", default_value = "64", value_name = "N")]
    pub max_in_flight: String,
    /// Status while Key Vault is out of reach: coast (key_id and the reason, writes go on) or fail (an error)
    #[arg(long, help_heading = "gRPC", default_value = "coast", value_name = "coast|fail")]
    pub status_on_outage: String,
    /// How long Status coasts through one outage; 0 for as long as it lasts
    #[arg(long, help_heading = "gRPC", default_value = "0s", value_name = "DURATION")]
    pub coast_limit: String,

    /// Name of the key vault or managed HSM (required)
    #[arg(long, help_heading = "Key", default_value = "", hide_default_value = true, value_name = "NAME")]
    pub keyvault_name: String,
    /// Name of the key (required)
    #[arg(long, help_heading = "Key", default_value = "", hide_default_value = true, value_name = "NAME")]
    pub key_name: String,
    /// Version of the key: 32 hexadecimal digits (required)
    #[arg(long, help_heading = "Key", default_value = "", hide_default_value = true, value_name = "VERSION")]
    pub key_version: String,
    /// The vault is a managed HSM
    #[arg(long, help_heading = "Key", default_value = "false", value_name = "BOOL")]
    pub managed_hsm: String,
    /// Calls to Key Vault a second
    #[arg(long, help_heading = "Key", default_value = "300", value_name = "N")]
    pub keyvault_qps: String,
    /// Calls to Key Vault that may be made at once before keyvault-qps takes hold
    #[arg(long, help_heading = "Key", default_value = "600", value_name = "N")]
    pub keyvault_burst: String,

    /// The cluster's cloud provider configuration, JSON or YAML: the credential
    #[arg(long, help_heading = "Azure", default_value = "/etc/kubernetes/azure.json", value_name = "FILE")]
    pub config_file_path: String,
    /// Deprecated name of config-file-path: accepted and ignored
    #[arg(long = "configFilePath", help_heading = "Azure", value_name = "FILE")]
    #[serde(rename = "configFilePath")]
    pub deprecated_config_file_path: Option<String>,
    /// Connect to ADDR:PORT when HOST is to be reached, keeping URL, SNI and Host header; repeatable
    #[arg(long, help_heading = "Azure", value_name = "HOST=ADDR:PORT", action = clap::ArgAction::Append)]
    pub connect_to: Vec<String>,
    /// PEM file of certificate authorities to trust as well as the system's; repeatable
    #[arg(long, help_heading = "Azure", value_name = "FILE", action = clap::ArgAction::Append)]
    pub ca_file: Vec<String>,
    /// Operations of Key Vault: encrypt (encrypt, decrypt) or wrap (wrapKey, unwrapKey); the same bytes
    #[arg(long, help_heading = "Key", default_value = "encrypt", value_name = "encrypt|wrap")]
    pub key_operations: String,
    /// How a client certificate signs: PS256 with x5t#S256, or RS256 with x5t
    #[arg(long, help_heading = "Azure", default_value = "PS256", value_name = "PS256|RS256")]
    pub client_assertion: String,
    /// Send the client certificate's chain, for authentication by subject name and issuer
    #[arg(long, help_heading = "Azure", default_value = "false", value_name = "BOOL")]
    pub send_certificate_chain: String,
    /// Time between two looks at config-file-path, ca-file and the credential's own file; SIGHUP looks at once
    #[arg(long, help_heading = "Azure", default_value = "10s", value_name = "DURATION")]
    pub reload_interval: String,
    /// Ask Key Vault and Entra ID through the proxy at proxy-address, in plain HTTP
    #[arg(long, help_heading = "Azure", default_value = "false", value_name = "BOOL")]
    pub proxy_mode: String,
    /// Host of the proxy of proxy-mode
    #[arg(long, help_heading = "Azure", default_value = "", hide_default_value = true, value_name = "HOST")]
    pub proxy_address: String,
    /// Port of the proxy of proxy-mode
    #[arg(long, help_heading = "Azure", default_value = DEFAULT_PROXY_PORT, value_name = "PORT")]
    pub proxy_port: String,

    /// Address that healthz-port listens on, and metrics-addr if it is only a port; :: is every interface
    #[arg(long, help_heading = "Health and metrics", default_value = "::", value_name = "ADDR")]
    pub bind_address: String,
    /// Port of healthz, livez and readyz
    #[arg(long, help_heading = "Health and metrics", default_value = DEFAULT_HEALTHZ_PORT, value_name = "PORT")]
    pub healthz_port: String,
    /// Path of the health check
    #[arg(long, help_heading = "Health and metrics", default_value = "/healthz", value_name = "PATH")]
    pub healthz_path: String,
    /// How long the health check's own probes of the gRPC socket may take
    #[arg(long, help_heading = "Health and metrics", default_value = "20s", value_name = "DURATION")]
    pub healthz_timeout: String,
    /// Time between two probes of the gRPC socket
    #[arg(long, help_heading = "Health and metrics", default_value = "10s", value_name = "DURATION")]
    pub health_interval: String,
    /// Format of the metrics; only prometheus
    #[arg(
        long,
        help_heading = "Health and metrics",
        default_value = "prometheus",
        value_name = "prometheus"
    )]
    pub metrics_backend: String,
    /// Port of the metrics at bind-address, or ADDR:PORT
    #[arg(long, help_heading = "Health and metrics", default_value = "8095", value_name = "PORT")]
    pub metrics_addr: String,

    /// Restarts of actors in actor-restart-period, all together, before actor-restart-limit-action
    #[arg(long, help_heading = "Supervision", default_value = "30", value_name = "N")]
    pub actor_restart_limit: String,
    /// Time in which restarts of actors are counted
    #[arg(long, help_heading = "Supervision", default_value = "60s", value_name = "DURATION")]
    pub actor_restart_period: String,
    /// Pause before a failed actor is restarted; doubles while it fails within a second of its start
    #[arg(long, help_heading = "Supervision", default_value = "50ms", value_name = "DURATION")]
    pub actor_restart_backoff: String,
    /// The longest such pause; jitter of up to its own length comes on top of each
    #[arg(long, help_heading = "Supervision", default_value = "1s", value_name = "DURATION")]
    pub actor_restart_backoff_max: String,
    /// Beyond actor-restart-limit: exit (drain, exit code 1) or retry (go on with the longest pause)
    #[arg(long, help_heading = "Supervision", default_value = "exit", value_name = "exit|retry")]
    pub actor_restart_limit_action: String,

    /// Collector that takes OpenTelemetry traces over OTLP with gRPC: http://HOST:PORT; none without it
    #[arg(long, help_heading = "Traces", default_value = "", hide_default_value = true, value_name = "URL")]
    pub tracing_endpoint: String,
    /// Of a million requests whose caller does not say whether they are traced, so many are
    #[arg(long, help_heading = "Traces", default_value = "1000000", value_name = "N")]
    pub tracing_sampling_rate_per_million: String,

    /// Log as JSON instead of klog text
    #[arg(long, help_heading = "Logging", default_value = "false", value_name = "BOOL")]
    pub log_format_json: String,
    /// Verbosity: 0 warnings and errors, 2 info, 4 debug, 6 trace, 10 all
    #[arg(long = "v", help_heading = "Logging", default_value = "0", value_name = "LEVEL")]
    #[serde(rename = "v")]
    pub verbosity: String,
    /// File that gets one JSON line for each key operation; SIGHUP opens it again
    #[arg(
        long,
        help_heading = "Logging",
        default_value = "",
        hide_default_value = true,
        value_name = "FILE"
    )]
    pub audit_log: String,

    /// Print version, commit and date as JSON, and end
    #[arg(
        long,
        help_heading = "Other",
        default_value = "false",
        value_name = "BOOL",
        hide_default_value = true
    )]
    pub version: String,
    /// Print this help, and end
    #[arg(
        long,
        help_heading = "Other",
        default_value = "false",
        value_name = "BOOL",
        hide_default_value = true
    )]
    pub help: String,
}
