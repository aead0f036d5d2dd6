//! The way to Azure: redirected hosts, extra roots, IMDS, the proxy.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The well-known address of the service for managed identities.
const IMDS: &str = "http://169.254.169.254";
/// The variable that names another IMDS, as in Azure's SDKs.
const IMDS_VARIABLE: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";

/// The way to Azure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NetworkConfig {
    /// Hosts that are redirected.
    pub connect_to: Vec<ConnectTo>,
    /// Roots to trust as well as the system's.
    pub ca_files: Vec<CaFile>,
    /// The scheme and authority of IMDS.
    pub imds_base: String,
    /// The proxy of `--proxy-mode`, which is called in place of both services, in plain HTTP.
    pub proxy: Option<reqwest::Url>,
}

impl NetworkConfig {
    /// Returns the address that this host is redirected to. The host may have a port, as an Azure Stack's.
    pub(crate) fn redirected(&self, host: &str) -> Option<SocketAddr> {
        let name = host.split(':').next().unwrap_or(host);
        let last = self.connect_to.iter().rev().find(|to| to.host.eq_ignore_ascii_case(name));
        last.map(|to| to.addr)
    }
}

/// A value of `--connect-to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConnectTo {
    /// The host of the URL.
    pub host: String,
    /// The address to connect to instead.
    pub addr: SocketAddr,
}

/// A file of `--ca-file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CaFile {
    /// Its path.
    pub path: PathBuf,
    /// Its content: at least one certificate.
    pub pem: Vec<u8>,
}

/// Reads a value of `--connect-to`.
///
/// # Errors
/// It is not `HOST=ADDR:PORT` with a numeric address.
pub(super) fn connect_to(text: &str) -> Result<ConnectTo, String> {
    let wrong = || format!("{text:?} must be HOST=ADDR:PORT, with a numeric address");
    let (host, addr) = text.split_once('=').ok_or_else(wrong)?;
    let is_plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    let addr = addr.parse().map_err(|_| wrong())?;
    if host.is_empty() || !is_plain {
        return Err(wrong());
    }
    Ok(ConnectTo { host: host.to_ascii_lowercase(), addr })
}

/// Reads a file of `--ca-file`.
///
/// # Errors
/// The file cannot be read, or holds no certificate in PEM.
pub(super) fn ca_file(path: &str) -> Result<CaFile, String> {
    let pem = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    match reqwest::Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(CaFile { path: Path::new(path).to_owned(), pem }),
        _ => Err(format!("{path}: holds no certificate in PEM")),
    }
}

/// Returns the URL of the proxy of `--proxy-mode`.
///
/// # Errors
/// The address is empty, or not a host alone.
pub(super) fn proxy(address: &str, port: &str) -> Result<reqwest::Url, String> {
    if address.is_empty() {
        return Err("is required with --proxy-mode: the host name or IP address of the proxy".into());
    }
    // not repeated: who gives a URL may have a password in it
    let wrong = || {
        "must be a host name or IP address alone (IPv6 in brackets), without http:// and port; the port is \
         --proxy-port's"
            .to_owned()
    };
    let is_plain = address.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
    let url = reqwest::Url::parse(&format!("http://{address}:{port}/")).ok().filter(|_| is_plain);
    url.ok_or_else(wrong)
}

/// Returns the scheme and authority of IMDS, which the environment may name.
///
/// # Errors
/// The variable is not a URL with http or https, or has more than an authority.
pub(super) fn imds_base(env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let Some(value) = env(IMDS_VARIABLE).filter(|value| !value.is_empty()) else {
        return Ok(IMDS.to_owned());
    };
    let wrong = || format!("{IMDS_VARIABLE}: must be a URL such as http://127.0.0.1:8080, without a path");
    let url = reqwest::Url::parse(&value).map_err(|_| wrong())?;
    let is_bare =
        url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !is_bare {
        return Err(wrong());
    }
    Ok(value.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_to_takes_both_address_families() {
        let to = connect_to("KV.vault.azure.net=10.0.0.4:443").unwrap();
        assert_eq!((to.host.as_str(), to.addr), ("kv.vault.azure.net", "10.0.0.4:443".parse().unwrap()));
        assert!(connect_to("kv.vault.azure.net=[::1]:8443").is_ok());
        for bad in ["", "host", "host=", "=1.2.3.4:5", "host=name:443", "host=1.2.3.4", "ho st=1.2.3.4:5"] {
            assert!(connect_to(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_proxy_is_a_host_alone_and_what_else_is_given_is_not_repeated() {
        for (address, url) in [
            ("10.0.0.1", "http://10.0.0.1:7788/"),
            ("proxy.example", "http://proxy.example:7788/"),
            ("[fd00::1]", "http://[fd00::1]:7788/"),
        ] {
            assert_eq!(proxy(address, "7788").unwrap().as_str(), url);
        }
        for bad in ["http://127.0.0.1", "127.0.0.1:3128", "fd00::1", "user:s3cr3t@proxy", "proxy/path"] {
            let problem = proxy(bad, "7788").unwrap_err();
            assert!(problem.contains("without http://") && !problem.contains("s3cr3t"), "{bad}: {problem}");
        }
        assert!(proxy("", "7788").unwrap_err().contains("required"));
    }

    #[test]
    fn a_ca_file_must_hold_a_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, "not PEM").unwrap();
        assert!(ca_file(path.to_str().unwrap()).unwrap_err().contains("no certificate"));
        assert!(ca_file("/absent").unwrap_err().starts_with("/absent: "));
    }

    #[test]
    fn imds_is_where_the_environment_says() {
        let base = |value: Option<&str>| imds_base(&|_| value.map(str::to_owned));
        assert_eq!(base(None).unwrap(), "http://169.254.169.254");
        assert_eq!(base(Some("http://127.0.0.1:80/")).unwrap(), "http://127.0.0.1:80");
        for bad in ["127.0.0.1:80", "ftp://x", "http://x/path", "http://user@x"] {
            assert!(base(Some(bad)).unwrap_err().contains("AZURE_POD_IDENTITY_AUTHORITY_HOST"), "{bad}");
        }
    }
}
