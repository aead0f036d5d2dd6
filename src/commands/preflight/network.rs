//! The way to a service: its name, a TCP connection, and an answer over TLS.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::checks::{Check, ISSUER, VAULT};
use super::report::CheckResult;
use super::route::Route;
use crate::azure::{ReachError, presented_certificate, reach_entra, reach_imds, reach_vault};
use crate::config::{Access, Config, CredentialConfig, NetworkConfig};

/// The time limit of each step.
const STEP: Duration = Duration::from_secs(5);

/// The fix where there are no trust roots, and so no client, whatever the network is like.
const ROOTS_FIX: &str = "install the system's CA certificates (ca-certificates), mount /etc/ssl/certs, or name a file with --ca-file";

/// The results on the way to a service.
pub(super) struct Reached {
    pub(super) results: Vec<CheckResult>,
    /// The `Date` of its answer.
    pub(super) date: Option<String>,
}

/// Tries the way to Entra ID or IMDS.
pub(super) async fn to_issuer(access: &Access) -> Reached {
    let network = &access.network;
    match &access.credential {
        CredentialConfig::ServicePrincipal(principal) => {
            let host = &principal.authority_host;
            reach(ISSUER, host, network, reach_entra(host, network)).await
        }
        CredentialConfig::ManagedIdentity(_) => to_imds(&network.imds_base).await,
    }
}

/// Tries the way to the vault.
pub(super) async fn to_vault(config: &Config, access: &Access) -> Reached {
    let (host, network) = (config.key.vault_host(), &access.network);
    reach(VAULT, &host, network, reach_vault(&host, network)).await
}

/// Tries the way to IMDS, which is no service on the network: it has an address of its own and no TLS.
async fn to_imds(base: &str) -> Reached {
    let [name, tcp, tls] = ISSUER;
    let reason = format!("IMDS is asked in plain HTTP at {base}");
    let (connected, date) = match timeout(STEP, reach_imds(base)).await {
        Ok(Ok(date)) => (tcp.passed(format!("IMDS answers at {base}")), date),
        Ok(Err(ReachError::NoAnswer(cause))) => (tcp.failed(cause, imds_fix(base)), None),
        Ok(Err(ReachError::NoClient(cause))) => (tcp.failed(cause, ROOTS_FIX), None),
        Err(_) => (tcp.failed(no_answer(), imds_fix(base)), None),
    };
    Reached { results: vec![name.skipped(reason.as_str()), connected, tls.skipped(reason)], date }
}

fn imds_fix(base: &str) -> String {
    format!("run on an Azure machine that has an identity, and let the pod reach {base} (hostNetwork: true)")
}

fn no_answer() -> String {
    format!("no answer within {} s", STEP.as_secs())
}

async fn reach(
    checks: [Check; 3],
    host: &str,
    network: &NetworkConfig,
    request: impl Future<Output = Result<Option<String>, ReachError>>,
) -> Reached {
    let route = Route::to(host, network);
    let mut results = connection(checks, host, &route).await;
    if results.iter().any(CheckResult::has_failed) {
        return Reached { results, date: None };
    }
    let [_, _, tls] = checks;
    let (result, date) = match timeout(STEP, request).await {
        Ok(Ok(date)) => (tls.passed(found(network, host)), date),
        Ok(Err(ReachError::NoClient(cause))) => (tls.failed(cause, ROOTS_FIX), None),
        Ok(Err(ReachError::NoAnswer(cause))) => (tls_failed(tls, host, network, &route, &cause).await, None),
        Err(_) => (tls.failed(no_answer(), route.silence_fix(host)), None),
    };
    results.push(result);
    Reached { results, date }
}

/// Looks the name up and connects, unless a proxy does. The first failure is the last result.
async fn connection(checks: [Check; 3], host: &str, route: &Route) -> Vec<CheckResult> {
    let [name, tcp, _] = checks;
    let (named, addresses) = match route {
        Route::Proxied => {
            let reason = "the proxy of HTTPS_PROXY or ALL_PROXY does that";
            return [name, tcp].map(|check| check.skipped(reason)).into();
        }
        Route::Redirected(addr) => (name.passed(format!("{host} is at {addr} (--connect-to)")), vec![*addr]),
        Route::Direct(to, port) | Route::ProxyMode(to, port) => match resolve(to, *port).await {
            Ok(addresses) => (name.passed(format!("{to} is {}", ips(&addresses))), addresses),
            Err(cause) => {
                return vec![name.failed(format!("{to}: {cause}"), route.name_fix(to, checks == VAULT))];
            }
        },
    };
    let connected = match connect(&addresses).await {
        Ok(addr) => tcp.passed(format!("{addr} takes connections")),
        Err(cause) => tcp.failed(cause, route.connection_fix(host)),
    };
    vec![named, connected]
}

fn ips(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(|addr| addr.ip().to_string()).collect::<Vec<_>>().join(", ")
}

fn found(network: &NetworkConfig, host: &str) -> String {
    match &network.proxy {
        Some(proxy) => format!("the proxy {proxy} answers for {host}, in plain HTTP"),
        None => format!("the certificate of {host} is trusted"),
    }
}

/// Resolves a name; an IPv6 address may stand in brackets.
///
/// # Errors
/// The resolver refuses the name, knows no address of it, or does not answer within [`STEP`].
async fn resolve(name: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let found = timeout(STEP, lookup_host((name.trim_matches(['[', ']']), port))).await;
    let found = found.map_err(|_| no_answer())?.map_err(|error| error.to_string())?;
    let found: Vec<_> = found.collect();
    if found.is_empty() { Err("the name has no address".into()) } else { Ok(found) }
}

/// Connects to the first address that accepts, and returns it.
///
/// # Errors
/// None accepts within [`STEP`]: the cause of each.
async fn connect(addresses: &[SocketAddr]) -> Result<SocketAddr, String> {
    let mut causes = Vec::new();
    for addr in addresses {
        let connected = timeout(STEP, TcpStream::connect(addr)).await;
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(_) => return Ok(*addr),
            Err(error) => causes.push(format!("{addr}: {error}")),
        }
    }
    Err(causes.join(", "))
}

async fn tls_failed(
    tls: Check,
    host: &str,
    network: &NetworkConfig,
    route: &Route,
    cause: &str,
) -> CheckResult {
    let seen = if cause.contains("certificate") && network.proxy.is_none() {
        timeout(STEP, presented_certificate(host, network)).await.ok().flatten()
    } else {
        None
    };
    let Some(seen) = seen else { return tls.failed(cause, route.answer_fix(host)) };
    let cause = format!("{cause}; the server presents {}, issued by {}", seen.subject, seen.issuer);
    let fix = match () {
        () if cause.contains("UnknownIssuer") => {
            format!(
                "--ca-file=FILE with the root certificate of \"{}\", or install the system's CA certificates",
                seen.issuer
            )
        }
        () if cause.contains("xpired") || cause.contains("NotValidYet") => {
            "set this machine's clock: timedatectl set-ntp true".into()
        }
        () => format!(
            "reach {host} itself: something between answers in its place (--connect-to, DNS, a proxy)"
        ),
    };
    tls.failed(cause, fix)
}
