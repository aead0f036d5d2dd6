//! `completion`: a shell's completion script, made of the same definitions as the help.

use clap_complete::{Shell, generate};

use crate::cli::{Completion, PROGRAM, for_completion};

/// The generator's function for bash. It has our name without dashes, as the generator loses its commands with them.
const IN_BASH: &str = "azure_kms_provider";
/// bash takes `=` for a word of its own: completes `--flag=value` as `--flag value`. Files only where they are asked for.
const BASH: &str = "
_azure_kms_provider_words() {
    local previous=\"$3\"
    [[ $previous == '=' ]] && previous=\"${COMP_WORDS[COMP_CWORD-2]}\"
    _azure_kms_provider \"$1\" \"$2\" \"$previous\"
}
complete -r azure_kms_provider
complete -F _azure_kms_provider_words azure-kms-provider
";

/// The generator's own function fails for a flag whose value is still to come. Files only where they are asked for.
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

/// The script, without the last line's end.
///
/// # Errors
/// There is none for that shell.
pub(crate) fn completion(asked: &Completion) -> Result<String, String> {
    let (shell, name, rest) = match asked.shell.as_str() {
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

/// With words that are no flags, which the generator leaves out.
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
