//! `man`: the manual page of the daemon or of one command, made of the same definitions as the help.

use crate::cli::{self, PROGRAM};

/// Of daemons and what administers them.
const SECTION: &str = "8";

/// The page as roff, without the last line's end.
///
/// # Errors
/// There is no such command.
pub(crate) fn man(asked: &cli::Man) -> Result<String, String> {
    let mut whole = cli::whole();
    whole.build();
    let command = match asked.command.as_str() {
        "" => whole,
        name => whole.find_subcommand(name).cloned().ok_or(format!("man: there is no command {name:?}"))?,
    };
    let title = command.get_display_name().unwrap_or(PROGRAM).to_uppercase();
    let mut roff = Vec::new();
    let page = clap_mangen::Man::new(with_usage(command))
        .title(title)
        .section(SECTION)
        .date(cli::build_date("%Y-%m-%d"))
        .source(concat!("azure-kms-provider v", env!("CARGO_PKG_VERSION")))
        .manual(PROGRAM);
    page.render(&mut roff).map_err(|error| format!("man: {error}"))?;
    let roff = String::from_utf8(roff).map_err(|error| format!("man: {error}"))?;
    Ok(roff.trim_end().to_owned())
}

/// The synopsis as in the help, and not every flag in brackets.
fn with_usage(mut command: clap::Command) -> clap::Command {
    let usage = command.render_usage().to_string();
    command.override_usage(usage.trim_start_matches("Usage: ").to_owned())
}
