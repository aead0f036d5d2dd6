//! The command line: the Go plugin's flags in Go's syntax, and ours.
//!
//! Only reads; `config` judges the values and how they fit together, all at once.

mod command_tree;
mod commands;
mod flags;
mod go_syntax;
mod redact;

use std::ffi::OsString;

use clap::FromArgMatches;

pub(crate) use command_tree::{for_completion, full_tree};
pub(crate) use commands::{Completion, Healthcheck, Man, Manifests, Preflight, Status};
pub(crate) use flags::{DEFAULT_LISTEN_ADDR, DEFAULT_PROXY_PORT, Flags, PROGRAM};

/// The command that the arguments name, with its flags.
#[derive(Debug)]
pub(crate) enum Command {
    /// Run the daemon.
    Run(Box<Flags>),
    /// Print the version and end.
    Version,
    /// Ask a running daemon whether it is healthy.
    Healthcheck(Healthcheck),
    /// Print what goes to a node.
    Manifests(Box<Manifests>),
    /// Check everything that the daemon needs.
    Preflight(Box<Preflight>),
    /// Show a running daemon's own view of its state.
    Status(Status),
    /// Print a shell's completion script.
    Completion(Completion),
    /// Print a manual page.
    Man(Man),
}

/// The end of the process, with this text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CliExit {
    /// Help, or every problem, one a line.
    pub message: String,
    /// The exit code.
    pub code: u8,
    /// True for help, which goes to standard output; problems go to standard error.
    pub is_for_stdout: bool,
}

impl CliExit {
    /// Returns the same with the exit code of a command whose 1 means something else.
    fn could_not_run(self) -> Self {
        Self { code: self.code * 2, ..self }
    }
}

/// Reads the arguments that follow the program's name.
///
/// # Errors
/// The process is to end here: the help was asked for, or flags are malformed, all of which are named.
pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, CliExit> {
    let mut args = args.peekable();
    let Some(name) = args.peek().and_then(|arg| arg.to_str()).and_then(command_tree::command_name) else {
        return Ok(match read::<Flags>(args, &command_tree::daemon())?.0 {
            flags if flags.version == "true" => Command::Version,
            flags => Command::Run(Box::new(flags)),
        });
    };
    args.next();
    let known = &command_tree::command(name);
    // a shell or a command, if this command takes one: its only argument that is not a flag
    let takes_word = known.get_positionals().next().is_some();
    let word = args.next_if(|arg| takes_word && !arg.to_string_lossy().starts_with('-'));
    Ok(match name {
        "healthcheck" => Command::Healthcheck(read(args, known)?.0),
        "manifests" => {
            let (flags, given) = read::<Manifests>(args, known)?;
            let given = Manifests::for_the_daemon(given);
            Command::Manifests(Box::new(Manifests { given, ..flags }))
        }
        "preflight" => Command::Preflight(Box::new(read(args, known).map_err(CliExit::could_not_run)?.0)),
        "status" => Command::Status(read(args, known)?.0),
        "completion" => Command::Completion(Completion { shell: text(word), ..read(args, known)?.0 }),
        _ => Command::Man(Man { command: text(word), ..read(args, known)?.0 }),
    })
}

fn text(word: Option<OsString>) -> String {
    word.unwrap_or_default().to_string_lossy().into_owned()
}

/// Reads the flags of one command, each of which has a `--help`: as a struct, and as `--name=value` each.
///
/// # Errors
/// The same as [`parse`].
fn read<T: FromArgMatches>(
    args: impl Iterator<Item = OsString>,
    known: &clap::Command,
) -> Result<(T, Vec<String>), CliExit> {
    let usage_error = |problems| usage_error(problems, known);
    let normal = go_syntax::normalise(args, known).map_err(usage_error)?;
    if normal.iter().any(|flag| flag == "--help=true") {
        let help = known.clone().render_help().to_string();
        return Err(CliExit { message: help, code: 0, is_for_stdout: true });
    }
    let program = std::iter::once(known.get_name().to_owned());
    let matches = known.clone().try_get_matches_from(program.chain(normal.iter().cloned()));
    let flags = matches.and_then(|matches| T::from_arg_matches(&matches));
    let flags = flags.map_err(|error| usage_error(vec![error.kind().to_string()]))?;
    Ok((flags, normal))
}

fn usage_error(problems: Vec<String>, known: &clap::Command) -> CliExit {
    let program = known.get_bin_name().unwrap_or(PROGRAM);
    let message = format!("{}\nsee {program} --help", problems.join("\n"));
    CliExit { message, code: 1, is_for_stdout: false }
}

/// Returns the output of `--version`, in the Go plugin's shape.
pub(crate) fn version_json() -> String {
    let version = serde_json::json!({
        "BuildVersion": concat!("v", env!("CARGO_PKG_VERSION")),
        "GitCommit": env!("BUILD_COMMIT"),
        "BuildDate": build_date("%Y-%m-%d-%H:%M"),
    });
    version.to_string()
}

/// Returns the time of the commit (UTC) in that format of `strftime(3)`; empty if the build did not know it.
pub(crate) fn build_date(format: &str) -> String {
    let date = env!("BUILD_EPOCH").parse().ok().and_then(|epoch| chrono::DateTime::from_timestamp(epoch, 0));
    date.map(|date| date.format(format).to_string()).unwrap_or_default()
}

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing {
    use std::os::unix::ffi::OsStrExt;

    use std::ffi::OsStr;

    use super::*;

    /// Reads arguments, one a line. The normal form of an accepted line is accepted too, and is its own normal form.
    pub(crate) fn flags(arguments: &[u8]) {
        let known = command_tree::daemon();
        let lines = || arguments.split(|byte| *byte == b'\n').map(|line| OsStr::from_bytes(line).to_owned());
        let Ok(normal) = go_syntax::normalise(lines(), &known) else {
            assert!(read::<Flags>(lines(), &known).is_err_and(|exit| exit.code == 1));
            return;
        };
        let again = go_syntax::normalise(normal.iter().map(OsString::from), &known);
        assert_eq!(again.as_ref(), Ok(&normal));
        assert!(read::<Flags>(lines(), &known).err().is_none_or(|help| help.code == 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses arguments that are UTF-8.
    ///
    /// # Errors
    /// The program would end instead of running a command: its output and exit code.
    fn parse_all(args: &[&str]) -> Result<Command, CliExit> {
        parse(args.iter().map(OsString::from))
    }

    fn flags(args: &[&str]) -> Flags {
        match parse_all(args).unwrap() {
            Command::Run(flags) => *flags,
            other => panic!("{other:?}"),
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
        assert_eq!((exit.code, exit.is_for_stdout), (1, false));
        for part in ["nonsense", "managed-hsm", "stray"] {
            assert!(exit.message.contains(part), "{}", exit.message);
        }
    }

    #[test]
    fn help_lists_every_flag_with_its_default_and_exits_0() {
        for spelling in ["-h", "--help", "-help"] {
            let exit = parse_all(&[spelling]).unwrap_err();
            assert_eq!((exit.code, exit.is_for_stdout), (0, true));
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
