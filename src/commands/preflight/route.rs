//! The way by which a service is reached, and so the fix when it is not.

use std::net::SocketAddr;

use hyper_util::client::proxy::matcher::Matcher;

use crate::config::NetworkConfig;

/// The maker of the connection, and its target.
pub(super) enum Route {
    /// This process, to the address of that name and port.
    Direct(String, u16),
    /// This process, to that address (`--connect-to`).
    Redirected(SocketAddr),
    /// This process, to that proxy, which stands for the service (`--proxy-mode`).
    ProxyMode(String, u16),
    /// A proxy that the environment names, and does not exempt the host from.
    Proxied,
}

impl Route {
    /// Finds the way to that host.
    pub(super) fn to(host: &str, network: &NetworkConfig) -> Self {
        if let Some(proxy) = &network.proxy {
            let port = proxy.port_or_known_default().unwrap_or(80);
            return Self::ProxyMode(proxy.host_str().unwrap_or_default().into(), port);
        }
        let (name, port) = host.split_once(':').unwrap_or((host, "443"));
        match network.redirected(host) {
            Some(addr) => Self::Redirected(addr),
            None if is_proxied(host) => Self::Proxied,
            None => Self::Direct(name.into(), port.parse().unwrap_or(443)),
        }
    }

    /// Returns the fix for a name that has no address: the vault's or the issuer's, or that of the proxy in their place.
    pub(super) fn name_fix(&self, name: &str, is_of_the_vault: bool) -> String {
        let what = match (self, is_of_the_vault) {
            (Self::ProxyMode(..), _) => {
                return format!("correct --proxy-address, or the node's DNS (try: getent hosts {name})");
            }
            (_, true) => "--keyvault-name, --managed-hsm and cloud in azure.json",
            (_, false) => "cloud in azure.json",
        };
        format!(
            "correct {what}, or the node's DNS (dnsPolicy: Default, private DNS zone, try: getent hosts {name}); \
             --connect-to={name}=ADDR:443 goes around it"
        )
    }

    /// Returns the fix for a connection to that host that is refused, or takes too long.
    pub(super) fn connection_fix(&self, host: &str) -> String {
        match self {
            Self::Direct(..) => format!("allow outgoing TCP to {host} in every firewall between"),
            Self::Redirected(addr) => {
                format!("correct --connect-to, or allow outgoing TCP to {addr} in every firewall between")
            }
            Self::ProxyMode(proxy, port) => format!(
                "correct --proxy-address or --proxy-port, or start the proxy at {proxy}:{port} and allow TCP to it"
            ),
            Self::Proxied => environment_fix(host),
        }
    }

    /// Returns the fix for a connection over which no answer came.
    pub(super) fn answer_fix(&self, host: &str) -> String {
        match self {
            Self::Direct(..) | Self::Redirected(_) => {
                format!("let TLS to {host} through unbroken: look at firewalls and proxies between")
            }
            Self::ProxyMode(..) => self.connection_fix(host),
            Self::Proxied => environment_fix(host),
        }
    }

    /// Returns the fix for an answer that takes too long: that of the service, or of a proxy between.
    pub(super) fn silence_fix(&self, host: &str) -> String {
        let proxy = match self {
            Self::Direct(..) | Self::Redirected(_) => "proxies between",
            Self::ProxyMode(..) => "the proxy of --proxy-address",
            Self::Proxied => "the proxy of HTTPS_PROXY or ALL_PROXY",
        };
        format!(
            "try again: {host} may be slow (https://status.azure.com); if it stays, look at firewalls and {proxy} that \
             swallow what is sent"
        )
    }
}

/// Returns the fix for a proxy that the environment names.
fn environment_fix(host: &str) -> String {
    let name = host.split(':').next().unwrap_or(host);
    format!(
        "correct HTTPS_PROXY or ALL_PROXY, or let that proxy through to {host}; NO_PROXY={name} goes around it"
    )
}

/// Reads `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` as the HTTP client does: by the same library.
fn is_proxied(host: &str) -> bool {
    let url = format!("https://{host}/").parse();
    url.is_ok_and(|url| Matcher::from_system().intercept(&url).is_some())
}
