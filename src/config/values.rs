//! Single values of flags: numbers, durations, addresses, paths.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

use super::{duration, integer};

/// Checks the value of `--metrics-backend`.
///
/// # Errors
/// It is not `prometheus`, in any letter case.
pub(super) fn metrics_backend(text: &str) -> Result<(), String> {
    if text.eq_ignore_ascii_case("prometheus") {
        Ok(())
    } else {
        Err(format!("{text:?} is not known; only prometheus is"))
    }
}

/// The unspecified address of both families, as a Go listener without a host has it.
pub(super) const EVERYWHERE: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// Reads an address without a port; the ports have flags of their own.
///
/// # Errors
/// It is not an IP address.
pub(super) fn bind_address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| {
        format!("{text:?} must be an IP address without a port, such as 127.0.0.1; :: is every interface")
    })
}

/// Reads a port, in any of Go's forms of a whole number.
///
/// # Errors
/// It is not a number from 1 to 65535.
pub(crate) fn port(text: &str) -> Result<NonZeroU16, String> {
    let port = integer::parse(text).and_then(NonZeroU16::new);
    port.ok_or_else(|| format!("{text:?} must be a port from 1 to 65535"))
}

/// Reads an address, or a port at `bind`.
///
/// # Errors
/// It is neither `ADDR:PORT` with an IP address, nor a port from 1 to 65535.
pub(super) fn metrics_addr(text: &str, bind: IpAddr) -> Result<SocketAddr, String> {
    let at_bind = |port: NonZeroU16| SocketAddr::new(bind, port.get());
    // decimal, as Go's listener reads it
    let port = || text.strip_prefix(':').unwrap_or(text).parse().ok().map(at_bind);
    text.parse().ok().or_else(port).ok_or_else(|| {
        format!(
            "{text:?} must be a port from 1 to 65535, or ADDR:PORT with an IP address, such as 127.0.0.1:8095"
        )
    })
}

/// Reads a whole number, in any of Go's forms.
///
/// # Errors
/// It is not a number from 1 to 4294967295.
pub(super) fn positive_number(text: &str) -> Result<NonZeroU32, String> {
    let number = integer::parse(text).and_then(NonZeroU32::new);
    number.ok_or_else(|| format!("{text:?} must be a whole number from 1 to {}", NonZeroU32::MAX))
}

/// Reads a duration, which may be 0.
///
/// # Errors
/// It is not a duration in Go's syntax, or negative.
pub(crate) fn any_duration(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(|problem| format!("{text:?} {problem}"))
}

/// Reads a duration.
///
/// # Errors
/// It is not a duration in Go's syntax, or not longer than 0.
pub(crate) fn positive_duration(text: &str) -> Result<Duration, String> {
    match any_duration(text)? {
        Duration::ZERO => Err("must be longer than 0".into()),
        duration => Ok(duration),
    }
}

/// Reads the path of the audit log; `None` if it is empty.
///
/// # Errors
/// It is not the absolute path of a file, which holds in any working directory.
pub(crate) fn audit_log(text: &str) -> Result<Option<PathBuf>, String> {
    match text {
        "" => Ok(None),
        path if path.starts_with('/') && !path.ends_with('/') => Ok(Some(path.into())),
        _ => Err(format!("{text:?} must be the path of a file, from / on")),
    }
}

/// Reads a verbosity: decimal with or without leading zeros, as in klog, or any other of Go's forms of a whole number.
///
/// # Errors
/// It is not a number from 0 to 255.
pub(super) fn verbosity(text: &str) -> Result<u8, String> {
    let level = text.parse().ok().or_else(|| integer::parse(text));
    level.ok_or_else(|| format!("{text:?} must be a number from 0 to 255"))
}

/// Reads the path of healthz.
///
/// # Errors
/// It does not begin with `/`, ends with one, is that of another endpoint, or holds more than letters, digits and `/-_.~`.
pub(super) fn healthz_path(text: &str) -> Result<String, String> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte));
    match text {
        "/livez" | "/readyz" | "/statusz" | "/flagz" => Err(format!("{text} is an endpoint of its own")),
        _ if !text.starts_with('/') || text.len() < 2 || text.ends_with('/') || !is_plain => {
            Err(format!("{text:?} must begin with / and be a plain path such as /healthz"))
        }
        _ => Ok(text.to_owned()),
    }
}
