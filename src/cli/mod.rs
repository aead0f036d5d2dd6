//! The command line: the Go plugin's flags in Go's syntax, and ours.
//!
//! Only reads; what the values mean and whether they fit together is for `config` to say, all at once.

mod go_syntax;

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser};

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Command {
    /// Run the daemon.
    Run(Box<Flags>),
    /// Print the version and end.
    Version,
}

/// The process ends here, with this text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CliExit {
    /// Help, or every problem, one a line.
    pub message: String,
    /// The exit code.
    pub code: u8,
    /// Help goes to standard output, problems to standard error.
    pub to_stdout: bool,
}

/// The flags as given: text, with defaults filled in.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "azure-kms-provider",
    about = "KMS plugin for kube-apiserver: encrypts etcd with a key in Azure Key Vault",
    after_help = "Flags take one dash or two, and their value after '=' or as the next argument. \
                  Durations are Go's: 500ms, 20s, 1m30s.",
    args_override_self = true,
    disable_help_flag = true,
    disable_version_flag = true
)]
pub(crate) struct Flags {
    /// Address of the gRPC socket: unix:///PATH, or unix:///@NAME for an abstract socket
    #[arg(long, help_heading = "gRPC", default_value = "unix:///opt/azurekms.socket", value_name = "URL")]
    pub listen_addr: String,
    /// Key operations that run at the same time; 1000 more wait in order
    #[arg(long, help_heading = "gRPC", default_value = "64", value_name = "N")]
    pub max_in_flight: String,

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
    pub deprecated_config_file_path: Option<String>,
    /// Connect to ADDR:PORT when HOST is to be reached, keeping URL, SNI and Host header; repeatable
    #[arg(long, help_heading = "Azure", value_name = "HOST=ADDR:PORT", action = clap::ArgAction::Append)]
    pub connect_to: Vec<String>,
    /// PEM file of certificate authorities to trust as well as the system's; repeatable
    #[arg(long, help_heading = "Azure", value_name = "FILE", action = clap::ArgAction::Append)]
    pub ca_file: Vec<String>,
    /// Operations of Key Vault: encrypt (encrypt, decrypt) or wrap (wrapKey, unwrapKey); the same bytes
    #[arg(long, help_heading = "Key", default_value = "encrypt", value_name = "NAME")]
    pub key_operations: String,
    /// How a client certificate signs: PS256 with x5t#S256, or RS256 with x5t
    #[arg(long, help_heading = "Azure", default_value = "PS256", value_name = "ALGORITHM")]
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
    #[arg(long, help_heading = "Azure", default_value = "7788", value_name = "PORT")]
    pub proxy_port: String,

    /// Port of healthz, livez and readyz
    #[arg(long, help_heading = "Health and metrics", default_value = "8787", value_name = "PORT")]
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
    #[arg(long, help_heading = "Health and metrics", default_value = "prometheus", value_name = "NAME")]
    pub metrics_backend: String,
    /// Port of the metrics, or ADDR:PORT
    #[arg(long, help_heading = "Health and metrics", default_value = "8095", value_name = "PORT")]
    pub metrics_addr: String,

    /// Log as JSON instead of klog text
    #[arg(long, help_heading = "Logging", default_value = "false", value_name = "BOOL")]
    pub log_format_json: String,
    /// Verbosity: 0 warnings and errors, 2 info, 4 debug, 6 trace, 10 all
    #[arg(long = "v", help_heading = "Logging", default_value = "0", value_name = "LEVEL")]
    pub verbosity: String,

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

/// The flags that may stand without a value.
const BOOLEANS: [&str; 6] =
    ["managed-hsm", "proxy-mode", "send-certificate-chain", "log-format-json", "version", "help"];

/// Reads the arguments that follow the program's name.
///
/// # Errors
/// Help that was asked for, or every malformed flag.
pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, CliExit> {
    let known = Flags::command();
    let is_known = |name: &str| known.get_arguments().any(|argument| argument.get_long() == Some(name));
    let refused = |problems: Vec<String>| {
        let advice = "see azure-kms-provider --help";
        CliExit { message: format!("{}\n{advice}", problems.join("\n")), code: 1, to_stdout: false }
    };
    let normal = go_syntax::normalise(args, is_known, &BOOLEANS).map_err(refused)?;
    let program = std::iter::once("azure-kms-provider".to_owned());
    let matches = known.clone().try_get_matches_from(program.chain(normal));
    let flags = matches.and_then(|matches| Flags::from_arg_matches(&matches));
    let flags = flags.map_err(|error| refused(vec![error.kind().to_string()]))?;
    if flags.help == "true" {
        let message = known.clone().render_help().to_string();
        return Err(CliExit { message, code: 0, to_stdout: true });
    }
    if flags.version == "true" {
        return Ok(Command::Version);
    }
    Ok(Command::Run(Box::new(flags)))
}

/// What `--version` prints, in the Go plugin's shape.
pub(crate) fn version_json() -> String {
    let date = env!("BUILD_EPOCH").parse().ok().and_then(|epoch| chrono::DateTime::from_timestamp(epoch, 0));
    let date = date.map(|date| date.format("%Y-%m-%d-%H:%M").to_string()).unwrap_or_default();
    let version = serde_json::json!({
        "BuildVersion": concat!("v", env!("CARGO_PKG_VERSION")),
        "GitCommit": env!("BUILD_COMMIT"),
        "BuildDate": date,
    });
    version.to_string()
}

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    /// Arguments, one a line. The normal form of what is accepted is accepted too, and its own normal form.
    pub(crate) fn flags(arguments: &[u8]) {
        let known = Flags::command();
        let is_known = |name: &str| known.get_arguments().any(|argument| argument.get_long() == Some(name));
        let lines = || arguments.split(|byte| *byte == b'\n').map(|line| OsStr::from_bytes(line).to_owned());
        let Ok(normal) = go_syntax::normalise(lines(), is_known, &BOOLEANS) else {
            assert!(parse(lines()).is_err_and(|exit| exit.code == 1));
            return;
        };
        let again = go_syntax::normalise(normal.iter().map(OsString::from), is_known, &BOOLEANS);
        assert_eq!(again.as_ref(), Ok(&normal));
        assert!(parse(lines()).err().is_none_or(|help| help.code == 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_all(args: &[&str]) -> Result<Command, CliExit> {
        parse(args.iter().map(OsString::from))
    }

    fn flags(args: &[&str]) -> Flags {
        match parse_all(args).unwrap() {
            Command::Run(flags) => *flags,
            Command::Version => panic!("not a version"),
        }
    }

    #[test]
    fn every_spelling_of_go_reaches_the_flag() {
        for args in
            [&["-key-name=k8s"][..], &["--key-name=k8s"], &["-key-name", "k8s"], &["--key-name", "k8s"]]
        {
            assert_eq!(flags(args).key_name, "k8s");
        }
        assert_eq!(flags(&["-v=4"]).verbosity, "4");
        assert_eq!(flags(&["-v", "4"]).verbosity, "4");
    }

    #[test]
    fn booleans_stand_alone_or_take_any_of_go_s_values() {
        for args in
            [&["-managed-hsm"][..], &["--managed-hsm=T"], &["--managed-hsm=1"], &["-managed-hsm=TRUE"]]
        {
            assert_eq!(flags(args).managed_hsm, "true");
        }
        assert_eq!(flags(&["--managed-hsm=f", "--log-format-json=false"]).managed_hsm, "false");
    }

    #[test]
    fn the_last_of_a_repeated_flag_wins_and_lists_grow() {
        assert_eq!(flags(&["--key-name=a", "--key-name=b"]).key_name, "b");
        assert_eq!(flags(&["--ca-file=a", "--ca-file", "b"]).ca_file, ["a", "b"]);
    }

    #[test]
    fn a_value_may_begin_with_a_dash_as_in_go() {
        assert_eq!(flags(&["--key-name", "-x"]).key_name, "-x");
    }

    #[test]
    fn every_malformed_flag_is_reported_at_once() {
        let exit = parse_all(&["--nonsense", "--managed-hsm=maybe", "stray"]).unwrap_err();
        assert_eq!((exit.code, exit.to_stdout), (1, false));
        for part in ["nonsense", "managed-hsm", "stray"] {
            assert!(exit.message.contains(part), "{}", exit.message);
        }
    }

    #[test]
    fn help_lists_every_flag_with_its_default_and_exits_0() {
        for spelling in ["-h", "--help", "-help"] {
            let exit = parse_all(&[spelling]).unwrap_err();
            assert_eq!((exit.code, exit.to_stdout), (0, true));
            for part in ["--listen-addr", "unix:///opt/azurekms.socket", "--metrics-addr", "8095", "--v"] {
                assert!(exit.message.contains(part), "{}", exit.message);
            }
        }
    }

    #[test]
    fn version_has_the_go_plugin_s_fields() {
        assert!(matches!(parse_all(&["--version"]), Ok(Command::Version)));
        let version: serde_json::Value = serde_json::from_str(&version_json()).unwrap();
        for field in ["BuildVersion", "GitCommit", "BuildDate"] {
            assert!(version[field].is_string());
        }
    }
}
