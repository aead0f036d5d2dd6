//! The way to a service: its name, a TCP connection, and an answer over TLS.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::report::Check;
use super::route::Route;
use crate::azure::{Unreached, presented, reach_entra, reach_imds, reach_vault};
use crate::config::{Access, Config, CredentialConfig, NetworkConfig};

/// How long each step may take.
const STEP: Duration = Duration::from_secs(5);

/// Without trust roots there is no client, whatever stands on the way.
const ROOTS_MEND: &str = "install the system's CA certificates (ca-certificates), mount /etc/ssl/certs, or name a file with --ca-file";

/// The names of the three checks of a destination.
pub(super) type Names = [&'static str; 3];
pub(super) const ISSUER: Names = ["issuer-name", "issuer-tcp", "issuer-tls"];
pub(super) const VAULT: Names = ["vault-name", "vault-tcp", "vault-tls"];

/// What was found on the way, and whether the service answers.
pub(super) struct Way {
    pub(super) checks: Vec<Check>,
    pub(super) answers: bool,
    /// The `Date` of its answer.
    pub(super) date: Option<String>,
}

/// The way to Entra ID or IMDS.
pub(super) async fn to_issuer(access: &Access) -> Way {
    let network = &access.network;
    match &access.credential {
        CredentialConfig::ServicePrincipal(principal) => {
            let host = &principal.authority_host;
            go(ISSUER, host, network, reach_entra(host, network)).await
        }
        CredentialConfig::ManagedIdentity(_) => to_imds(&network.imds_base).await,
    }
}

/// The way to the vault.
pub(super) async fn to_vault(config: &Config, access: &Access) -> Way {
    let (host, network) = (config.key.vault_host(), &access.network);
    go(VAULT, &host, network, reach_vault(&host, network)).await
}

/// IMDS is no service on the network: it has an address of its own and no TLS.
async fn to_imds(base: &str) -> Way {
    let [name, tcp, tls] = ISSUER;
    let why = format!("IMDS is asked in plain HTTP at {base}");
    let (checked, date) = match timeout(STEP, reach_imds(base)).await {
        Ok(Ok(date)) => (Check::passed(tcp, format!("IMDS answers at {base}")), date),
        Ok(Err(Unreached::NoAnswer(cause))) => (Check::failed(tcp, cause, imds_mend(base)), None),
        Ok(Err(Unreached::NoClient(cause))) => (Check::failed(tcp, cause, ROOTS_MEND), None),
        Err(_) => (Check::failed(tcp, silent(), imds_mend(base)), None),
    };
    let answers = !checked.has_failed();
    let checks = vec![Check::skipped(name, why.as_str()), checked, Check::skipped(tls, why)];
    Way { checks, answers, date }
}

fn imds_mend(base: &str) -> String {
    format!("run on an Azure machine that has an identity, and let the pod reach {base} (hostNetwork: true)")
}

fn silent() -> String {
    format!("no answer within {} s", STEP.as_secs())
}

async fn go(
    names: Names,
    host: &str,
    network: &NetworkConfig,
    answer: impl Future<Output = Result<Option<String>, Unreached>>,
) -> Way {
    let route = Route::to(host, network);
    let mut checks = connection(names, host, &route).await;
    if let Some(failed) = checks.iter().find(|check| check.has_failed()) {
        let why = format!("since {} failed", failed.name);
        let rest = names.into_iter().skip(checks.len()).map(|name| Check::skipped(name, why.as_str()));
        checks.extend(rest.collect::<Vec<_>>());
        return Way { checks, answers: false, date: None };
    }
    let [_, _, tls] = names;
    let (check, date) = match timeout(STEP, answer).await {
        Ok(Ok(date)) => (Check::passed(tls, found(network, host)), date),
        Ok(Err(Unreached::NoClient(cause))) => (Check::failed(tls, cause, ROOTS_MEND), None),
        Ok(Err(Unreached::NoAnswer(cause))) => (refused(tls, host, network, &route, &cause).await, None),
        Err(_) => (Check::failed(tls, silent(), route.silence_mend(host)), None),
    };
    let answers = !check.has_failed();
    checks.push(check);
    Way { checks, answers, date }
}

/// The name and the connection, as far as they are ours; the first failure is the last check.
async fn connection(names: Names, host: &str, route: &Route) -> Vec<Check> {
    let [name, tcp, _] = names;
    let (named, addresses) = match route {
        Route::Proxied => {
            let why = "the proxy of HTTPS_PROXY or ALL_PROXY does that";
            return [name, tcp].map(|name| Check::skipped(name, why)).into();
        }
        Route::Redirected(addr) => {
            (Check::passed(name, format!("{host} is at {addr} (--connect-to)")), vec![*addr])
        }
        Route::Direct(to, port) | Route::ProxyMode(to, port) => match resolve(to, *port).await {
            Ok(addresses) => (Check::passed(name, format!("{to} is {}", ips(&addresses))), addresses),
            Err(cause) => {
                return vec![Check::failed(
                    name,
                    format!("{to}: {cause}"),
                    route.name_mend(to, names == VAULT),
                )];
            }
        },
    };
    let connected = match connect(&addresses).await {
        Ok(addr) => Check::passed(tcp, format!("{addr} takes connections")),
        Err(cause) => Check::failed(tcp, cause, route.connection_mend(host)),
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

async fn resolve(name: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let found = timeout(STEP, lookup_host((name.trim_matches(['[', ']']), port))).await;
    let found = found.map_err(|_| silent())?.map_err(|error| error.to_string())?;
    let found: Vec<_> = found.collect();
    if found.is_empty() { Err("the name has no address".into()) } else { Ok(found) }
}

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

async fn refused(
    tls: &'static str,
    host: &str,
    network: &NetworkConfig,
    route: &Route,
    cause: &str,
) -> Check {
    let seen = match cause.contains("certificate") && network.proxy.is_none() {
        true => timeout(STEP, presented(host, network)).await.ok().flatten(),
        false => None,
    };
    let Some(seen) = seen else { return Check::failed(tls, cause, route.answer_mend(host)) };
    let cause = format!("{cause}; the server presents {}, issued by {}", seen.subject, seen.issuer);
    let mend = match () {
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
    Check::failed(tls, cause, mend)
}
