//! The commands beside the daemon itself: a word before the flags.

use clap::Parser;

/// Every command's word.
pub(super) const NAMES: [&str; 1] = ["healthcheck"];

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
