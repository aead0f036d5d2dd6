//! Single values of flags: numbers, durations, addresses, paths.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

use super::{OnOutage, duration, integer};

pub(super) fn metrics_backend(text: &str) -> Result<(), String> {
    match text.eq_ignore_ascii_case("prometheus") {
        true => Ok(()),
        false => Err(format!("{text:?} is not known; only prometheus is")),
    }
}

/// All addresses of both families, as a Go listener without a host.
pub(super) const EVERYWHERE: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// One address without a port; the ports have flags of their own.
pub(super) fn bind_address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| {
        format!("{text:?} must be an IP address without a port, such as 127.0.0.1; :: is every interface")
    })
}

pub(crate) fn port(text: &str) -> Result<NonZeroU16, String> {
    let port = integer::parse(text).and_then(NonZeroU16::new);
    port.ok_or_else(|| format!("{text:?} must be a port from 1 to 65535"))
}

/// An address of its own, or a port at `bind`.
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

pub(super) fn positive_number(text: &str) -> Result<NonZeroU32, String> {
    let number = integer::parse(text).and_then(NonZeroU32::new);
    number.ok_or_else(|| format!("{text:?} must be a whole number from 1 to {}", NonZeroU32::MAX))
}

pub(super) fn on_outage(text: &str) -> Result<OnOutage, String> {
    match text {
        "coast" => Ok(OnOutage::Coast),
        "fail" => Ok(OnOutage::Fail),
        _ => Err(format!("{text:?} must be coast or fail")),
    }
}

pub(crate) fn any_duration(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(|problem| format!("{text:?} {problem}"))
}

pub(crate) fn positive_duration(text: &str) -> Result<Duration, String> {
    match any_duration(text)? {
        Duration::ZERO => Err("must be longer than 0".into()),
        duration => Ok(duration),
    }
}

/// A file by a path that holds in any working directory; none if it is empty.
pub(crate) fn audit_log(text: &str) -> Result<Option<PathBuf>, String> {
    match text {
        "" => Ok(None),
        path if path.starts_with('/') && !path.ends_with('/') => Ok(Some(path.into())),
        _ => Err(format!("{text:?} must be the path of a file, from / on")),
    }
}

/// Decimal with or without leading zeros, as in klog; what else Go takes for a whole number is taken too.
pub(super) fn verbosity(text: &str) -> Result<u8, String> {
    let level = text.parse().ok().or_else(|| integer::parse(text));
    level.ok_or_else(|| format!("{text:?} must be a number from 0 to 255"))
}

pub(super) fn healthz_path(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte));
    match text {
        "/livez" | "/readyz" | "/statusz" | "/flagz" => Err(format!("{text} is an endpoint of its own")),
        _ if !text.starts_with('/') || text.len() < 2 || text.ends_with('/') || !plain => {
            Err(format!("{text:?} must begin with / and be a plain path such as /healthz"))
        }
        _ => Ok(text.to_owned()),
    }
}
