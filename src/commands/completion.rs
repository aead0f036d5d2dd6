//! `completion`: a shell's completion script, made of the same definitions as the help.

use clap_complete::{Shell, generate};

use crate::cli::{Completion, PROGRAM, for_completion};

/// The name of the generator's function for bash: the program's without dashes, with which the generator loses commands.
const IN_BASH: &str = "azure_kms_provider";
/// A function around the generator's for bash, where `=` is a word of its own: completes `--flag=value` as `--flag value`.
/// Files are offered only where a flag takes one.
const BASH: &str = "
_azure_kms_provider_words() {
    local previous=\"$3\"
    [[ $previous == '=' ]] && previous=\"${COMP_WORDS[COMP_CWORD-2]}\"
    _azure_kms_provider \"$1\" \"$2\" \"$previous\"
}
complete -r azure_kms_provider
complete -F _azure_kms_provider_words azure-kms-provider
";

/// A function in place of the generator's own for fish, which fails for a flag whose value is still to come. Files are
/// offered only where a flag takes one.
const FISH: &str = "
function __fish_azure_kms_provider_needs_command
    set -l words (commandline -opc)
    if set -q words[2]; and not string match -q -- '-*' $words[2]
        echo $words[2]
        return 1
    end
end
complete -c azure-kms-provider -f
";

/// Returns the script, without the end of the last line.
///
/// # Errors
/// The shell is none of bash, zsh and fish.
pub(crate) fn completion(flags: &Completion) -> Result<String, String> {
    let (shell, name, rest) = match flags.shell.as_str() {
        "bash" => (Shell::Bash, IN_BASH, BASH.to_owned()),
        "zsh" => (Shell::Zsh, PROGRAM, String::new()),
        "fish" => (Shell::Fish, PROGRAM, fish()),
        other => return Err(format!("completion: {other:?} must be bash, zsh or fish")),
    };
    let mut script = Vec::new();
    generate(shell, &mut for_completion(), name, &mut script);
    let script = String::from_utf8(script).map_err(|error| format!("completion: {error}"))?;
    Ok(format!("{}\n{rest}", script.trim_end()).trim_end().to_owned())
}

/// Returns the function, and the arguments that are not flags, which the generator leaves out.
fn fish() -> String {
    let tree = for_completion();
    let words = tree.get_subcommands().flat_map(|command| {
        let words = command.get_positionals().flat_map(|arg| arg.get_possible_values());
        words.map(|word| {
            let seen = format!("__fish_seen_subcommand_from {}", command.get_name());
            format!("complete -c {PROGRAM} -n '{seen}' -a {}\n", word.get_name())
        })
    });
    format!("{FISH}{}", words.collect::<String>())
}
