//! The whole command line as clap has it: the daemon's flags, and each command below them. Help, parsing, completion
//! and the manual pages are made of this.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, CommandFactory, ValueHint};

use super::Flags;
use super::commands::COMMANDS;
use super::go_syntax::is_boolean;

/// The program's name.
pub(crate) const PROGRAM: &str = "azure-kms-provider";

/// The daemon's flags alone.
pub(super) fn daemon() -> Command {
    honest(Flags::command())
}

/// The command with that word, if there is one.
pub(super) fn name(word: &str) -> Option<&'static str> {
    COMMANDS.iter().map(|(name, _)| *name).find(|name| *name == word)
}

/// What that command takes.
pub(super) fn command(name: &'static str) -> Command {
    below(name).bin_name(format!("{PROGRAM} {name}"))
}

/// The same as a part of the tree, where clap knows what stands before it.
fn below(name: &'static str) -> Command {
    let known = COMMANDS.iter().find(|(known, _)| *known == name);
    let command = known.map_or_else(|| Command::new(name), |(_, build)| build());
    honest(command.name(name))
}

/// The daemon with every command.
pub(crate) fn whole() -> Command {
    let commands = COMMANDS.map(|(name, _)| below(name));
    daemon()
        .override_usage(format!("{PROGRAM} [OPTIONS]\n{PROGRAM} COMMAND [OPTIONS]"))
        .disable_help_subcommand(true)
        .subcommand_help_heading("COMMANDS")
        .subcommands(commands)
}

/// The same, as generators of completions need it.
pub(crate) fn for_completion() -> Command {
    let commands = COMMANDS.map(|(name, _)| below(name).mut_args(completed));
    daemon().mut_args(completed).disable_help_subcommand(true).subcommands(commands)
}

/// Says of booleans what `go_syntax` takes: `--name` or `--name=false`, and never the next argument.
fn honest(command: Command) -> Command {
    command.mut_args(|arg| match is_boolean(&arg) {
        true => arg.num_args(0..=1).require_equals(true),
        false => arg,
    })
}

/// The values of a flag, by what its help calls them: `a|b` is a closed list.
fn completed(arg: Arg) -> Arg {
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
        whole().debug_assert();
        for_completion().debug_assert();
    }
}
