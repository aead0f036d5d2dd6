//! A running daemon, called through its socket as kube-apiserver calls it: Status until it is healthy, then a round trip
//! in both versions.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::checks::Check;
use super::report::CheckResult;
use crate::actors::{Probe, SocketClient};
use crate::config::ListenAddr;
use crate::kms::Api;

/// The round trips through the socket.
const ROUND_TRIPS: [(Check, Api); 2] = [(Check::DaemonV2, Api::V2), (Check::DaemonV1, Api::V1)];
/// The pause between two Status.
const PAUSE: Duration = Duration::from_secs(2);
const FIX: &str = "read the daemon's log, and its /healthz?verbose";

/// Waits until it is healthy, and encrypts and decrypts.
pub(super) async fn checks(address: &ListenAddr, wait: Duration) -> Vec<CheckResult> {
    let mut probe = Probe::new(address, wait);
    if let Err(cause) = wait_until_healthy(&mut probe, wait).await {
        return vec![Check::DaemonStatus.failed(format!("not healthy within {wait:?}: {cause}"), FIX)];
    }
    let mut results = vec![Check::DaemonStatus.passed("v2 Status says ok")];
    let mut probe = Probe::new(address, wait).our_own(); // no client, in the audit log and in the queue
    for (check, api) in ROUND_TRIPS {
        results.push(match probe.round_trip(api).await {
            Ok(()) => check.passed(format!("{} encrypts and decrypts through the socket", api.as_str())),
            Err(error) => check.failed(error.message, FIX),
        });
    }
    results
}

/// Asks for Status until it is `ok`.
///
/// # Errors
/// It was not within `wait`: the last reason.
async fn wait_until_healthy(probe: &mut Probe, wait: Duration) -> Result<(), String> {
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
