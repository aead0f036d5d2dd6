//! The whole command line in clap's terms: the daemon's flags, and each command below them. Help, parsing, completion and
//! the manual pages are made from this tree.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, CommandFactory, ValueHint};

use super::commands::COMMANDS;
use super::flags::{Flags, PROGRAM, is_boolean};

/// Returns the daemon's flags, without the commands.
pub(super) fn daemon() -> Command {
    require_equals_for_booleans(Flags::command())
}

/// Finds the name of the command that this word is.
pub(super) fn command_name(word: &str) -> Option<&'static str> {
    COMMANDS.iter().map(|(name, _)| *name).find(|name| *name == word)
}

/// Returns the flags and arguments of that command.
pub(super) fn command(name: &'static str) -> Command {
    subcommand(name).bin_name(format!("{PROGRAM} {name}"))
}

/// Returns the same as a part of the tree, where clap puts the program's name before it.
fn subcommand(name: &'static str) -> Command {
    let known = COMMANDS.iter().find(|(known, _)| *known == name);
    let command = known.map_or_else(|| Command::new(name), |(_, build)| build());
    require_equals_for_booleans(command.name(name))
}

/// Returns the daemon with every command below it.
pub(crate) fn full_tree() -> Command {
    let commands = COMMANDS.map(|(name, _)| subcommand(name));
    daemon()
        .override_usage(format!("{PROGRAM} [OPTIONS]\n{PROGRAM} COMMAND [OPTIONS]"))
        .disable_help_subcommand(true)
        .subcommand_help_heading("COMMANDS")
        .subcommands(commands)
}

/// Returns the same tree for generators of completion scripts.
pub(crate) fn for_completion() -> Command {
    let commands = COMMANDS.map(|(name, _)| subcommand(name).mut_args(with_completion_hints));
    daemon().mut_args(with_completion_hints).disable_help_subcommand(true).subcommands(commands)
}

/// Declares of booleans what `go_syntax` takes: `--name` or `--name=false`, and never the next argument.
fn require_equals_for_booleans(command: Command) -> Command {
    command.mut_args(|arg| if is_boolean(&arg) { arg.num_args(0..=1).require_equals(true) } else { arg })
}

/// Adds the values that a shell can offer, by the name that the help gives the value: `a|b` is a closed list.
fn with_completion_hints(arg: Arg) -> Arg {
    if is_boolean(&arg) {
        let [name, help] = [arg.get_long().map(str::to_owned), arg.get_help().map(ToString::to_string)];
        return Arg::new(arg.get_id().clone())
            .long(name.unwrap_or_default())
            .help(help.unwrap_or_default())
            .action(ArgAction::SetTrue);
    }
    let name = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    match name.as_deref().unwrap_or_default() {
        "FILE" => arg.value_hint(ValueHint::FilePath),
        "HOST" => arg.value_hint(ValueHint::Hostname),
        "COMMAND" => arg.value_parser(PossibleValuesParser::new(COMMANDS.map(|(name, _)| name))),
        "prometheus" => arg.value_parser(["prometheus"]),
        list if list.contains('|') => {
            let values: Vec<String> = list.split('|').map(str::to_owned).collect();
            arg.value_parser(PossibleValuesParser::new(values))
        }
        // a colon would end the value's name in zsh's own syntax
        other => {
            let escaped = other.replace(':', "\\:");
            arg.value_hint(ValueHint::Other).value_name(escaped)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_tree_is_one_that_clap_takes() {
        full_tree().debug_assert();
        for_completion().debug_assert();
    }
}
