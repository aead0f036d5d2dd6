//! A running daemon, asked through its socket as kube-apiserver asks it: Status until it is healthy, then a round trip
//! in both versions.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::report::Check;
use crate::actors::{Probe, SocketClient};
use crate::config::ListenAddr;
use crate::kms::Api;

const STATUS: &str = "daemon-status";
/// The round trips through the socket.
const VERSIONS: [(&str, Api); 2] = [("daemon-v2", Api::V2), ("daemon-v1", Api::V1)];
/// Between two Status.
const PAUSE: Duration = Duration::from_secs(2);
const MEND: &str = "read the daemon's log, and its /healthz?verbose";

/// Waits until it is healthy, and encrypts and decrypts.
pub(super) async fn checks(address: &ListenAddr, wait: Duration) -> Vec<Check> {
    let mut probe = Probe::new(address, wait);
    if let Err(cause) = healthy(&mut probe, wait).await {
        let cause = format!("not healthy within {wait:?}: {cause}");
        let mut checks = vec![Check::failed(STATUS, cause, MEND)];
        checks.extend(VERSIONS.map(|(name, _)| Check::skipped(name, format!("since {STATUS} failed"))));
        return checks;
    }
    let mut checks = vec![Check::passed(STATUS, "v2 Status says ok")];
    let mut probe = Probe::new(address, wait).our_own(); // no client, in the audit log and in the queue
    for (name, api) in VERSIONS {
        checks.push(match probe.round_trip(api).await {
            Ok(()) => {
                Check::passed(name, format!("{} encrypts and decrypts through the socket", api.as_str()))
            }
            Err(error) => Check::failed(name, error.message, MEND),
        });
    }
    checks
}

/// The last reason why it is not.
async fn healthy(probe: &mut Probe, wait: Duration) -> Result<(), String> {
    let deadline = Instant::now() + wait;
    let mut last = "no answer".to_owned();
    loop {
        match timeout_at(deadline, probe.health()).await {
            Ok(Ok(health)) if health == "ok" => return Ok(()),
            Ok(Ok(reason)) => last = reason,
            Ok(Err(error)) => last = error.message.into_owned(),
            Err(_) => return Err(last),
        }
        if Instant::now() + PAUSE >= deadline {
            return Err(last);
        }
        sleep(PAUSE).await;
    }
}
