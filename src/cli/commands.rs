//! The commands beside the daemon itself: a word before the flags.

use clap::{CommandFactory, Parser};

use super::flags::{DEFAULT_HEALTHZ_PORT, DEFAULT_LISTEN_ADDR, Flags};

/// The default time limit of commands that ask a running daemon.
const DEFAULT_TIMEOUT: &str = "3s";

/// A constructor of a command's flags and arguments.
type Build = fn() -> clap::Command;

/// Every command: its name, and the constructor of its flags and arguments.
pub(super) const COMMANDS: [(&str, Build); 6] = [
    ("healthcheck", Healthcheck::command),
    ("manifests", Manifests::command),
    ("preflight", || preflight_help(Preflight::command())),
    ("status", Status::command),
    ("completion", Completion::command),
    ("man", Man::command),
];

/// The flags of `healthcheck`, which asks a running daemon through its socket: for exec probes, which need no port.
#[derive(Clone, Debug, Parser)]
#[command(
    about = "Exit code 0 if the daemon at the socket answers and is healthy, 1 if not",
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true
)]
pub(crate) struct Healthcheck {
    /// Address of the daemon's gRPC socket: unix:///PATH, or unix:///@NAME for an abstract socket
    #[arg(long, default_value = DEFAULT_LISTEN_ADDR, value_name = "URL")]
    pub socket: String,
    /// How long the answers may take
    #[arg(long, default_value = DEFAULT_TIMEOUT, value_name = "DURATION")]
    pub timeout: String,
    /// Print this help, and end
    #[arg(long, default_value = "false", value_name = "BOOL", hide_default_value = true)]
    pub help: String,
}

/// The flags of `manifests`, which prints the static pod and kube-apiserver's encryption configuration.
#[derive(Clone, Debug, Parser)]
#[command(
    about = "Prints the static pod and the encryption configuration for the daemon's flags",
    after_help = "The daemon's flags go into the pod. Without the names of vault, key and version, ${...} stand for them.",
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true
)]
pub(crate) struct Manifests {
    /// API that kube-apiserver speaks: v2, or v1
    #[arg(long, help_heading = "Manifests", default_value = "v2", value_name = "v1|v2")]
    pub kms: String,
    /// The pod's image
    #[arg(long, help_heading = "Manifests", default_value = concat!("azure-kms-provider:v", env!("CARGO_PKG_VERSION")), value_name = "NAME")]
    pub image: String,
    /// What to print: pod, encryption (the configuration), or all (both, with --- between them)
    #[arg(long, help_heading = "Manifests", default_value = "all", value_name = "pod|encryption|all")]
    pub only: String,
    /// The daemon's flags, with their defaults.
    #[command(flatten)]
    pub daemon: Flags,
    /// The daemon's flags as they were given: `--name=value` each.
    #[arg(skip)]
    pub given: Vec<String>,
}

impl Manifests {
    /// Keeps the arguments that are the daemon's own.
    pub(super) fn for_the_daemon(arguments: Vec<String>) -> Vec<String> {
        let ours = ["--kms=", "--image=", "--only=", "--version="];
        arguments.into_iter().filter(|flag| !ours.iter().any(|name| flag.starts_with(name))).collect()
    }
}

/// The flags of `preflight`, which tries, one after another, everything that the daemon will need.
#[derive(Clone, Debug, Parser)]
#[command(args_override_self = true, disable_help_flag = true, disable_version_flag = true)]
pub(crate) struct Preflight {
    /// How to print the checks: text (one line each) or json
    #[arg(long, help_heading = "Preflight", default_value = "text", value_name = "text|json")]
    pub output: String,
    /// kube-apiserver's EncryptionConfiguration, to be compared with the flags
    #[arg(long, help_heading = "Preflight", value_name = "FILE")]
    pub encryption_config: Option<String>,
    /// Expect a running daemon at listen-addr, wait so long until it is healthy, and encrypt and decrypt through it
    #[arg(long, help_heading = "Preflight", default_value = "0s", value_name = "DURATION")]
    pub wait: String,
    /// The daemon's flags.
    #[command(flatten)]
    pub daemon: Flags,
}

/// Adds the help. Attributes of the struct would be replaced by those of the flattened flags.
fn preflight_help(command: clap::Command) -> clap::Command {
    command
        .about("Checks everything the daemon needs, with the daemon's own flags")
        .after_help(
            "One line a check: \u{2713} passed, ! passed with a warning, \u{2717} failed, \u{2013} skipped. The fix \
             follows the arrow.\n\
             Exit code 0: none failed; 1: some failed; 2: the checks could not run.",
        )
}

/// The flags of `status`, which shows a running daemon's own view of its state.
#[derive(Clone, Debug, Parser)]
#[command(
    about = "Shows a running daemon: Status, key, token, breaker and actors. Exit code 1 if the socket does not answer",
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true
)]
pub(crate) struct Status {
    /// Address of the daemon's gRPC socket: unix:///PATH, or unix:///@NAME for an abstract socket
    #[arg(long, default_value = DEFAULT_LISTEN_ADDR, value_name = "URL")]
    pub socket: String,
    /// Where the daemon's healthz port is
    #[arg(long, default_value = format!("http://127.0.0.1:{DEFAULT_HEALTHZ_PORT}"), value_name = "URL")]
    pub healthz: String,
    /// How to print it: table, or json (one object a line)
    #[arg(long, default_value = "table", value_name = "table|json")]
    pub output: String,
    /// Show it again every 2 s, until interrupted
    #[arg(long, default_value = "false", value_name = "BOOL")]
    pub watch: String,
    /// How long the answers may take
    #[arg(long, default_value = DEFAULT_TIMEOUT, value_name = "DURATION")]
    pub timeout: String,
    /// Print this help, and end
    #[arg(long, default_value = "false", value_name = "BOOL", hide_default_value = true)]
    pub help: String,
}

/// The argument of `completion`, which prints a script that completes this command line.
#[derive(Clone, Debug, Parser)]
#[command(
    about = "Prints the completion script of a shell",
    after_help = "In bash and zsh: source <(azure-kms-provider completion bash), or zsh. \
                  In fish: azure-kms-provider completion fish | source",
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true
)]
pub(crate) struct Completion {
    /// The shell
    #[arg(default_value = "", hide_default_value = true, value_name = "bash|zsh|fish")]
    pub shell: String,
    /// Print this help, and end
    #[arg(long, default_value = "false", value_name = "BOOL", hide_default_value = true)]
    pub help: String,
}

/// The argument of `man`, which prints a manual page.
#[derive(Clone, Debug, Parser)]
#[command(
    about = "Prints the manual page of the daemon, or of one of its commands, as roff",
    after_help = "To read it: azure-kms-provider man | man -l -",
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true
)]
pub(crate) struct Man {
    /// The command; without it, the daemon and the list of its commands
    #[arg(default_value = "", hide_default_value = true, value_name = "COMMAND")]
    pub command: String,
    /// Print this help, and end
    #[arg(long, default_value = "false", value_name = "BOOL", hide_default_value = true)]
    pub help: String,
}
