//! `healthcheck`: calls a running daemon as kube-apiserver does. Makes no call to Key Vault.

use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::actors::{Probe, SocketClient};
use crate::cli::Healthcheck;
use crate::config::{ListenAddr, positive_duration};

/// Returns `ok` if the daemon is healthy.
///
/// # Errors
/// The daemon is not healthy or does not answer in time, or a flag is wrong: the reason.
pub(crate) fn healthcheck(flags: &Healthcheck) -> Result<String, String> {
    let socket = ListenAddr::parse(&flags.socket).map_err(|problem| format!("--socket: {problem}"))?;
    let limit = positive_duration(&flags.timeout).map_err(|problem| format!("--timeout: {problem}"))?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no threads: {error}"))?;
    runtime.block_on(query(&socket, limit))
}

/// Calls v1 Version, then v2 Status, of the daemon at that socket.
///
/// # Errors
/// A call fails, there is no answer within the limit, or the daemon says that it is not healthy.
async fn query(socket: &ListenAddr, limit: Duration) -> Result<String, String> {
    let mut client = Probe::new(socket, limit);
    let calls = async {
        client.version().await?;
        client.health().await
    };
    let answer = timeout(limit, calls).await.map_err(|_| format!("no answer within {limit:?}"))?;
    let health = answer.map_err(|error| error.message.into_owned())?;
    if health == "ok" { Ok(health) } else { Err(health) }
}
