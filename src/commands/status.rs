//! `status`: a running daemon's own view of its state, as a table or as JSON. Costs no call to Key Vault.

mod daemon;
mod query;
mod table;

use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::cli::Status;
use crate::config::{ListenAddr, positive_duration};
use daemon::Healthz;
use query::{DaemonState, Query};

/// The pause of `--watch`.
const PAUSE: Duration = Duration::from_secs(2);

/// Shows the status once, or again and again until nobody reads it any more.
///
/// # Errors
/// A flag is wrong, Status returns an error instead of a key_id, nobody answers on the socket, or standard output cannot
/// be written to: the reason.
pub(crate) fn status(flags: &Status, out: &mut dyn Write) -> Result<(), String> {
    let query = read(flags)?;
    let is_json = match flags.output.as_str() {
        "table" => false,
        "json" => true,
        other => return Err(format!("--output: {other:?} must be table or json")),
    };
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no threads: {error}"))?;
    runtime.block_on(async {
        loop {
            let state = query.send().await;
            match show(&state, is_json, out) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                Err(error) => return Err(format!("cannot write to standard output: {error}")),
                Ok(()) if flags.watch == "true" => sleep(PAUSE).await,
                Ok(()) => return state.outcome(),
            }
        }
    })
}

/// Reads the flags.
///
/// # Errors
/// An address or the time limit is wrong: names the flag.
fn read(flags: &Status) -> Result<Query, String> {
    let socket = ListenAddr::parse(&flags.socket).map_err(|problem| format!("--socket: {problem}"))?;
    let healthz = Healthz::parse(&flags.healthz).map_err(|problem| format!("--healthz: {problem}"))?;
    let limit = positive_duration(&flags.timeout).map_err(|problem| format!("--timeout: {problem}"))?;
    Ok(Query { socket, healthz, limit })
}

/// Writes the state as a table or a line of JSON.
///
/// # Errors
/// The output is closed or cannot be written.
fn show(state: &DaemonState, is_json: bool, out: &mut dyn Write) -> io::Result<()> {
    if is_json {
        writeln!(out, "{}", serde_json::to_string(state)?)?;
    } else {
        writeln!(out, "{}", table::of(state))?;
    }
    out.flush()
}
