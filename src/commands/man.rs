//! `man`: the manual page of the daemon or of one command, made from the same definitions as the help.

use crate::cli::{self, PROGRAM};

/// The section of daemons and their administration.
const SECTION: &str = "8";

/// Returns the page as roff, without the end of the last line.
///
/// # Errors
/// There is no such command.
pub(crate) fn man(flags: &cli::Man) -> Result<String, String> {
    let mut tree = cli::full_tree();
    tree.build();
    let command = match flags.command.as_str() {
        "" => tree,
        name => tree.find_subcommand(name).cloned().ok_or(format!("man: there is no command {name:?}"))?,
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

/// Replaces the synopsis by that of the help, which does not list every flag.
fn with_usage(mut command: clap::Command) -> clap::Command {
    let usage = command.render_usage().to_string();
    command.override_usage(usage.trim_start_matches("Usage: ").to_owned())
}
