//! The commands beside the daemon itself: a word before the flags.

use clap::Parser;

/// Every command's word.
pub(super) const NAMES: [&str; 2] = ["healthcheck", "status"];

/// Asks a running daemon through its socket: for exec probes, which need no port.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "azure-kms-provider healthcheck",
    about = "Exit code 0 if the daemon at the socket answers and is healthy, 1 if not",
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true
)]
pub(crate) struct Healthcheck {
    /// Address of the daemon's gRPC socket: unix:///PATH, or unix:///@NAME for an abstract socket
    #[arg(long, default_value = "unix:///opt/azurekms.socket", value_name = "URL")]
    pub socket: String,
    /// How long the answers may take
    #[arg(long, default_value = "3s", value_name = "DURATION")]
    pub timeout: String,
    /// Print this help, and end
    #[arg(long, default_value = "false", value_name = "BOOL", hide_default_value = true)]
    pub help: String,
}

/// Shows what a running daemon says of itself.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "azure-kms-provider status",
    about = "Shows a running daemon: Status, key, token, breaker and actors. Exit code 1 if the socket does not answer",
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true
)]
pub(crate) struct Status {
    /// Address of the daemon's gRPC socket: unix:///PATH, or unix:///@NAME for an abstract socket
    #[arg(long, default_value = "unix:///opt/azurekms.socket", value_name = "URL")]
    pub socket: String,
    /// Where the daemon's healthz port is
    #[arg(long, default_value = "http://127.0.0.1:8787", value_name = "URL")]
    pub healthz: String,
    /// table or json
    #[arg(long, default_value = "table", value_name = "NAME")]
    pub output: String,
    /// Show it again every 2 s, until interrupted
    #[arg(long, default_value = "false", value_name = "BOOL")]
    pub watch: String,
    /// How long the answers may take
    #[arg(long, default_value = "3s", value_name = "DURATION")]
    pub timeout: String,
    /// Print this help, and end
    #[arg(long, default_value = "false", value_name = "BOOL", hide_default_value = true)]
    pub help: String,
}
