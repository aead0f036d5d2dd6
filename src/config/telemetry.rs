//! The form of logs, and the collector of traces.

use std::net::IpAddr;

use hyper::Uri;

use super::integer;
use super::problems::Problems;
use super::values::verbosity;
use crate::cli::Flags;

/// The form and verbosity of logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogConfig {
    /// True for Kubernetes' JSON, false for klog text.
    pub is_json: bool,
    /// The value of `-v`: 0 warnings and errors, 2 info, 4 debug, 6 trace.
    pub verbosity: u8,
}

impl LogConfig {
    /// Reads the flags as far as they are valid: the log is also needed to report that they are not.
    pub(crate) fn of(flags: &Flags) -> Self {
        Self { is_json: flags.log_format_json == "true", verbosity: verbosity(&flags.verbosity).unwrap_or(0) }
    }
}

/// The export of traces, which Kubernetes' components call `TracingConfiguration`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TracesConfig {
    /// The collector: scheme, host and port.
    pub endpoint: Uri,
    /// The requests in a million that are traced, of those whose caller does not say.
    pub per_million: u32,
}

/// The rate at which every request is traced.
const MILLION: u32 = 1_000_000;

/// Reads the flags; `None` when traces are off, or when there is a problem.
pub(super) fn traces(flags: &Flags, problems: &mut Problems) -> Option<TracesConfig> {
    let rate = per_million(&flags.tracing_sampling_rate_per_million);
    let per_million = problems.flag("tracing-sampling-rate-per-million", rate);
    if flags.tracing_endpoint.is_empty() {
        return None;
    }
    let endpoint = problems.flag("tracing-endpoint", endpoint(&flags.tracing_endpoint));
    Some(TracesConfig { endpoint: endpoint?, per_million: per_million? })
}

/// Parses a sampling rate, in traces per million.
///
/// # Errors
/// It is not a whole number from 0 to [`MILLION`].
fn per_million(text: &str) -> Result<u32, String> {
    let rate = integer::parse(text).filter(|rate| *rate <= MILLION);
    rate.ok_or_else(|| format!("{text:?} must be a whole number from 0 to {MILLION}"))
}

/// Reads the collector's address. There is no TLS, as with the endpoint of `TracingConfiguration`.
///
/// # Errors
/// It is not `http://HOST:PORT`. The value is not repeated: it may hold a password.
fn endpoint(text: &str) -> Result<Uri, String> {
    let wrong = || "must be http://HOST:PORT, such as http://127.0.0.1:4317".to_owned();
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    if uri.scheme_str() == Some("https") {
        return Err(
            "TLS is not supported; name a collector on this node with http://, and let it use TLS".into()
        );
    }
    let is_bare = uri.path_and_query().is_none_or(|path| path == "/")
        && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    let port = uri.port_u16().unwrap_or_default();
    let is_valid =
        uri.scheme_str() == Some("http") && is_bare && port != 0 && uri.host().is_some_and(is_host);
    if is_valid { Ok(uri) } else { Err(wrong()) }
}

/// Returns true for a name, and for an address: of version 6 in brackets.
fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6()),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_named_by_host_and_port() {
        for good in ["http://127.0.0.1:4317", "http://localhost:80", "http://[::1]:4317/", "HTTP://otel:4317"]
        {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in [
            "127.0.0.1:4317",
            "localhost:4317",
            "http://localhost",
            "http://localhost:0",
            "http://:4317",
            "http://user:s3cr3t@localhost:4317",
            "http://localhost:4317/v1/traces",
            "http://localhost:4317/?token=s3cr3t",
            "http://[::1:4317",
            "grpc://localhost:4317",
            "unix:///run/otel.sock",
            "http://",
        ] {
            let problem = endpoint(bad).unwrap_err();
            assert!(problem.contains("http://HOST:PORT") && !problem.contains("s3cr3t"), "{bad}: {problem}");
        }
    }

    #[test]
    fn tls_is_refused_with_what_to_do() {
        assert!(endpoint("https://otel.example:4317").unwrap_err().contains("collector on this node"));
    }

    #[test]
    fn the_rate_is_at_most_a_million() {
        assert_eq!((per_million("0"), per_million("1000000")), (Ok(0), Ok(MILLION)));
        for bad in ["", "-1", "0.5", "1000001", "all"] {
            assert!(per_million(bad).is_err(), "{bad}");
        }
    }
}
