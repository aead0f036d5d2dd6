//! HTTPS clients under the Azure SDK: one a destination, with the trust roots and addresses of the configuration.
//!
//! Building them here turns a missing CA bundle into a message; the SDK's own default would panic.

use std::sync::Arc;
use std::time::Duration;

use azure_core::http::HttpClient;
use reqwest::{Certificate, Client, ClientBuilder, redirect};

use super::cause::chain;
use super::proxy_mode::{ProxyModeClient, Target};
use crate::config::NetworkConfig;

/// Leaves room for another attempt inside kube-apiserver's 3 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection whose bytes are not acknowledged for so long is dead.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(5);
/// Shorter than the idle timeout of Azure's front ends (4 minutes for their load balancers).
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// How often an HTTP/2 connection is asked whether it is alive, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// A client for `https://{host}`, or for the proxy that stands before it.
///
/// # Errors
/// Says that there are no trust roots, or which `--ca-file` cannot be used.
pub(super) fn client(
    host: &str,
    target: Target,
    network: &NetworkConfig,
) -> Result<Arc<dyn HttpClient>, String> {
    match &network.proxy {
        None => Ok(Arc::new(built(host, https_builder(host, target, network)?)?)),
        Some(proxy) => {
            let client = plain_client("the proxy", target)?;
            Ok(Arc::new(ProxyModeClient::new(client, proxy.clone(), target)))
        }
    }
}

/// Whether clients can be built at all: without trust roots no actor could start, however often it tries.
///
/// # Errors
/// As [`client`].
pub(crate) fn can_connect(host: &str, network: &NetworkConfig) -> Result<(), String> {
    client(host, Target::KeyVault, network).map(drop)
}

/// A client that takes any certificate and keeps it: to say whose a refused one is. Nothing secret goes through it.
pub(super) fn unverifying_client(host: &str, network: &NetworkConfig) -> Result<Client, String> {
    let builder = https_builder(host, Target::KeyVault, network)?;
    built(host, builder.tls_danger_accept_invalid_certs(true).tls_info(true))
}

fn https_builder(host: &str, target: Target, network: &NetworkConfig) -> Result<ClientBuilder, String> {
    let name = host.split(':').next().unwrap_or(host); // an Azure Stack's may have a port
    let mut builder = base(target).tls_certs_merge(extra_roots(network)?);
    if let Some(addr) = network.redirected(host) {
        builder = builder.resolve(name, addr).no_proxy(); // a proxy would resolve the name itself
    }
    Ok(builder)
}

fn built(host: &str, builder: ClientBuilder) -> Result<Client, String> {
    builder.build().map_err(|error| {
        let reason = chain(&error);
        format!("no HTTPS client for {host}: {reason}; install CA certificates or set SSL_CERT_FILE")
    })
}

/// A client for IMDS: plain HTTP on the link-local network, never through a proxy.
pub(super) fn imds_client() -> Result<Client, String> {
    plain_client("IMDS", Target::EntraId)
}

fn plain_client(whom: &str, target: Target) -> Result<Client, String> {
    base(target).no_proxy().build().map_err(|error| format!("no HTTP client for {whom}: {}", chain(&error)))
}

/// Tokens are asked for once in many minutes, each on a connection of its own: an old one may hang.
fn base(target: Target) -> ClientBuilder {
    let kept = match target {
        Target::KeyVault => usize::MAX,
        Target::EntraId => 0,
    };
    Client::builder()
        .pool_max_idle_per_host(kept)
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_user_timeout(TCP_USER_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .http2_keep_alive_interval(PING_INTERVAL)
        .http2_keep_alive_timeout(PING_TIMEOUT)
}

fn extra_roots(network: &NetworkConfig) -> Result<Vec<Certificate>, String> {
    let mut roots = Vec::new();
    for file in &network.ca_files {
        let parsed = Certificate::from_pem_bundle(&file.pem);
        roots.extend(parsed.map_err(|_| format!("--ca-file {}: not PEM certificates", file.path.display()))?);
    }
    Ok(roots)
}
