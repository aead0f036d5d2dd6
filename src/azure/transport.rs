//! The HTTPS clients below the Azure SDK, one for each destination, with the configured trust roots and addresses.
//!
//! A missing CA bundle is an error here; the client that the SDK creates by default would panic.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use azure_core::http::HttpClient;
use reqwest::{Certificate, Client, ClientBuilder, redirect};

use super::cause::with_causes;
use super::connector::Connector;
use super::proxy_mode::{ProxyModeClient, Target};
use super::resolver::CachingResolver;
use crate::config::NetworkConfig;

/// The time limit of a call for connecting: name resolution, TCP, proxy and TLS. The callers of requests stop waiting
/// earlier, and connecting goes on; no caller waits for a token or for the warm-up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The time without an acknowledgement of sent bytes after which a connection is closed (`TCP_USER_TIMEOUT`, RFC 5482).
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(5);
/// The time after which an idle connection is closed, before Azure does: its load balancers' idle timeout is 4 minutes.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// The interval between HTTP/2 PING frames (RFC 9113 §6.7), and the time limit of their acknowledgement.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// The addresses of hosts, which all clients of the process share: a new client does not have to wait for them.
static RESOLVER: LazyLock<CachingResolver> = LazyLock::new(CachingResolver::default);

/// Creates a client for `https://{host}`, or for the proxy in front of it.
///
/// # Errors
/// There are no trust roots, or a `--ca-file` cannot be used, which the message names.
pub(super) fn client(
    host: &str,
    target: Target,
    network: &NetworkConfig,
    connector: &Connector,
) -> Result<Arc<dyn HttpClient>, String> {
    match &network.proxy {
        None => Ok(Arc::new(build(host, https_builder(host, target, network, connector)?)?)),
        Some(proxy) => {
            let client = plain_client("the proxy", target, connector)?;
            Ok(Arc::new(ProxyModeClient::new(client, proxy.clone(), target)))
        }
    }
}

/// Checks that clients can be created. Without trust roots no actor could start, however often it is restarted.
///
/// # Errors
/// As [`client`].
pub(crate) fn check_client(host: &str, network: &NetworkConfig) -> Result<(), String> {
    client(host, Target::KeyVault, network, &Connector::default()).map(drop)
}

/// Creates a client that accepts any certificate and keeps it, to report the names in one that was refused. Never used
/// for a secret.
///
/// # Errors
/// As [`client`].
pub(super) fn unverifying_client(host: &str, network: &NetworkConfig) -> Result<Client, String> {
    let builder = https_builder(host, Target::KeyVault, network, &Connector::default())?;
    build(host, builder.tls_danger_accept_invalid_certs(true).tls_info(true))
}

/// Configures a client with the trust roots and the address for that host.
///
/// # Errors
/// A `--ca-file` cannot be used.
fn https_builder(
    host: &str,
    target: Target,
    network: &NetworkConfig,
    connector: &Connector,
) -> Result<ClientBuilder, String> {
    let name = host.split(':').next().unwrap_or(host); // that of an Azure Stack may have a port
    let mut builder = base(target, connector).tls_certs_merge(extra_roots(network)?);
    if let Some(addr) = network.redirected(host) {
        builder = builder.resolve(name, addr).no_proxy(); // a proxy would resolve the name itself
    }
    Ok(builder)
}

/// Creates the configured client.
///
/// # Errors
/// There are no trust roots.
fn build(host: &str, builder: ClientBuilder) -> Result<Client, String> {
    builder.build().map_err(|error| {
        let reason = with_causes(&error);
        format!("no HTTPS client for {host}: {reason}; install CA certificates or set SSL_CERT_FILE")
    })
}

/// Creates a client for IMDS: plain HTTP on the link-local network, never through a proxy.
///
/// # Errors
/// The client cannot be created; says why.
pub(super) fn imds_client() -> Result<Client, String> {
    plain_client("IMDS", Target::EntraId, &Connector::default())
}

/// Creates a client that uses no proxy and no extra trust roots, for the destination that `name` gives in errors.
///
/// # Errors
/// The client cannot be created; says why.
fn plain_client(name: &str, target: Target, connector: &Connector) -> Result<Client, String> {
    base(target, connector)
        .no_proxy()
        .build()
        .map_err(|error| format!("no HTTP client for {name}: {}", with_causes(&error)))
}

/// Returns the settings that all clients share. Connections for tokens are not kept: many minutes pass between two
/// requests, and an old connection may hang.
fn base(target: Target, connector: &Connector) -> ClientBuilder {
    let max_idle = match target {
        Target::KeyVault => usize::MAX,
        Target::EntraId => 0,
    };
    Client::builder()
        .pool_max_idle_per_host(max_idle)
        .redirect(redirect::Policy::none())
        .dns_resolver(RESOLVER.clone())
        .connector_layer(connector.clone())
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_user_timeout(TCP_USER_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .http2_keep_alive_interval(PING_INTERVAL)
        .http2_keep_alive_timeout(PING_TIMEOUT)
}

/// Parses the certificates of `--ca-file`.
///
/// # Errors
/// A file does not hold PEM certificates.
fn extra_roots(network: &NetworkConfig) -> Result<Vec<Certificate>, String> {
    let mut roots = Vec::new();
    for file in &network.ca_files {
        let parsed = Certificate::from_pem_bundle(&file.pem);
        roots.extend(parsed.map_err(|_| format!("--ca-file {}: not PEM certificates", file.path.display()))?);
    }
    Ok(roots)
}
