//! By which way a service is reached, and so what there is to correct when it is not.

use std::net::SocketAddr;

use hyper_util::client::proxy::matcher::Matcher;

use crate::config::NetworkConfig;

/// Who makes the connection, and where to.
pub(super) enum Route {
    /// We, to the address of that name and port.
    Direct(String, u16),
    /// We, to that address (`--connect-to`).
    Redirected(SocketAddr),
    /// We, to that proxy, which stands for the service (`--proxy-mode`).
    ProxyMode(String, u16),
    /// A proxy that the environment names, and does not exempt the host from.
    Proxied,
}

impl Route {
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

    /// What mends a name that has no address: the vault's or the issuer's, or that of the proxy in their place.
    pub(super) fn name_mend(&self, name: &str, of_the_vault: bool) -> String {
        let what = match (self, of_the_vault) {
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

    /// What mends a connection to that host that is refused, or takes too long.
    pub(super) fn connection_mend(&self, host: &str) -> String {
        match self {
            Self::Direct(..) => format!("allow outgoing TCP to {host} in every firewall between"),
            Self::Redirected(addr) => {
                format!("correct --connect-to, or allow outgoing TCP to {addr} in every firewall between")
            }
            Self::ProxyMode(proxy, port) => format!(
                "correct --proxy-address or --proxy-port, or start the proxy at {proxy}:{port} and allow TCP to it"
            ),
            Self::Proxied => environment_mend(host),
        }
    }

    /// What mends a connection over which no answer came.
    pub(super) fn answer_mend(&self, host: &str) -> String {
        match self {
            Self::Direct(..) | Self::Redirected(_) => {
                format!("let TLS to {host} through unbroken: look at firewalls and proxies between")
            }
            Self::ProxyMode(..) => self.connection_mend(host),
            Self::Proxied => environment_mend(host),
        }
    }

    /// What mends silence: that of the service, or of what is between.
    pub(super) fn silence_mend(&self, host: &str) -> String {
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

/// Of a proxy that the environment names.
fn environment_mend(host: &str) -> String {
    let name = host.split(':').next().unwrap_or(host);
    format!(
        "correct HTTPS_PROXY or ALL_PROXY, or let that proxy through to {host}; NO_PROXY={name} goes around it"
    )
}

/// As the HTTP client reads `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`: by the same library.
fn is_proxied(host: &str) -> bool {
    let url = format!("https://{host}/").parse();
    url.is_ok_and(|url| Matcher::from_system().intercept(&url).is_some())
}
