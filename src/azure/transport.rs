//! HTTPS clients under the Azure SDK: one a destination, with the trust roots and addresses of the configuration.
//!
//! Building them here turns a missing CA bundle into a message; the SDK's own default would panic.

use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, redirect};

use super::cause::chain;
use crate::config::NetworkConfig;

/// Leaves room for another attempt inside kube-apiserver's 3 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection whose bytes are not acknowledged for so long is dead.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(5);
/// Shorter than the idle timeout of Azure's front ends (4 minutes for their load balancers).
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// A client for `https://{host}`.
///
/// # Errors
/// Says that there are no trust roots, or which `--ca-file` cannot be used.
pub(crate) fn https_client(host: &str, network: &NetworkConfig) -> Result<Client, String> {
    let mut builder = base().tls_certs_merge(extra_roots(network)?);
    if let Some(redirected) = network.connect_to.iter().rev().find(|to| to.host.eq_ignore_ascii_case(host)) {
        builder = builder.resolve(host, redirected.addr).no_proxy(); // a proxy would resolve the name itself
    }
    builder.build().map_err(|error| {
        let reason = chain(&error);
        format!("no HTTPS client for {host}: {reason}; install CA certificates or set SSL_CERT_FILE")
    })
}

/// A client for IMDS: plain HTTP on the link-local network, never through a proxy.
pub(crate) fn imds_client() -> Result<Client, String> {
    base().no_proxy().build().map_err(|error| format!("no HTTP client for IMDS: {}", chain(&error)))
}

fn base() -> ClientBuilder {
    Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_user_timeout(TCP_USER_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
}

fn extra_roots(network: &NetworkConfig) -> Result<Vec<Certificate>, String> {
    let mut roots = Vec::new();
    for file in &network.ca_files {
        let parsed = Certificate::from_pem_bundle(&file.pem);
        roots.extend(parsed.map_err(|_| format!("--ca-file {}: not PEM certificates", file.path.display()))?);
    }
    Ok(roots)
}
