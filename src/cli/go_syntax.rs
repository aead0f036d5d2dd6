//! Go's `flag` syntax, brought into the one form `--name=value`.
//!
//! One dash or two; a value after `=` or as the next argument, whatever that looks like; a boolean alone.

use std::ffi::OsString;

use super::commands::COMMANDS;
use super::flags::{PROGRAM, is_boolean};

/// Brings the arguments of that command into the form `--name=value`.
///
/// # Errors
/// At least one argument is not what Go's `flag` package takes: a sentence for each.
pub(super) fn normalise(
    args: impl Iterator<Item = OsString>,
    known: &clap::Command,
) -> Result<Vec<String>, Vec<String>> {
    let (mut normal, mut problems) = (Vec::new(), Vec::new());
    let mut args = args.map(|arg| arg.into_string());
    while let Some(arg) = args.next() {
        if arg.as_deref() == Ok("--") {
            let rest = args.map(|arg| arg.unwrap_or_else(|raw| raw.to_string_lossy().into()));
            problems.extend(rest.map(|arg| no_flag(&arg, known)));
            break;
        }
        let next = || args.next();
        match normalise_one(arg, next, known) {
            Ok(flag) => normal.push(flag),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(normal) } else { Err(problems) }
}

type Argument = Result<String, OsString>;

/// Rewrites one argument of Go's syntax as `--name=value`.
///
/// # Errors
/// The argument is not UTF-8, is no known flag, or lacks its value; or the value of a boolean flag is neither true nor
/// false.
fn normalise_one(
    arg: Argument,
    next: impl FnOnce() -> Option<Argument>,
    known: &clap::Command,
) -> Result<String, String> {
    let arg = arg.map_err(|raw| format!("the argument {raw:?} is not UTF-8"))?;
    let Some(rest) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')).filter(|rest| !rest.is_empty())
    else {
        return Err(no_flag(&arg, known));
    };
    let (name, value) = match rest.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (rest, None),
    };
    let name = if name == "h" { "help" } else { name };
    let Some(flag) = known.get_arguments().find(|flag| flag.get_long() == Some(name)) else {
        return Err(format!("--{name}: there is no such flag"));
    };
    let value = if is_boolean(flag) {
        parse_boolean(value.as_deref().unwrap_or("true"))
            .ok_or(format!("--{name}: the value must be true or false"))?
    } else {
        match value {
            Some(value) => value,
            None => following(name, next())?,
        }
    };
    Ok(format!("--{name}={value}"))
}

fn no_flag(arg: &str, known: &clap::Command) -> String {
    match known.get_name() {
        PROGRAM => {
            let commands = COMMANDS.map(|(name, _)| name).join(", ");
            format!("{arg:?} is not a flag; only the first word may be a command: {commands}")
        }
        command if known.get_positionals().next().is_some() => {
            format!("{arg:?} is not a flag; {command} takes no further argument")
        }
        command => format!("{arg:?} is not a flag; {command} takes flags only"),
    }
}

/// Returns the next argument, as the value of a flag.
///
/// # Errors
/// There is none, or it is not UTF-8.
fn following(name: &str, next: Option<Argument>) -> Result<String, String> {
    match next {
        Some(Ok(value)) => Ok(value),
        Some(Err(_)) => Err(format!("--{name}: the value is not UTF-8")),
        None => Err(format!("--{name}: the value is missing")),
    }
}

/// Reads the spellings of Go's `strconv.ParseBool`.
fn parse_boolean(value: &str) -> Option<String> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some("true".into()),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some("false".into()),
        _ => None,
    }
}
