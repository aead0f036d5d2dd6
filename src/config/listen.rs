//! The address of the gRPC socket.

use std::fmt;
use std::path::PathBuf;

/// The longest path or name of a unix socket in bytes (`sun_path` of `unix(7)`, without its final NUL).
const LONGEST: usize = 107;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListenAddr {
    /// The path of a file.
    Path(PathBuf),
    /// A name in the abstract namespace of Linux, without the leading `@`.
    Abstract(String),
}

impl ListenAddr {
    /// Reads `unix:///path` or `unix:///@name`; the scheme in any case.
    ///
    /// # Errors
    /// The text is neither, or its path has more than 107 bytes.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let expected = || "must be unix:///PATH or unix:///@NAME".to_owned();
        let (scheme, rest) = text.split_once("://").ok_or_else(expected)?;
        if !scheme.eq_ignore_ascii_case("unix") {
            return Err(expected());
        }
        // kube-apiserver's URL parser gives the path "/@name" for an abstract socket, and dials "@name"
        let name = rest.strip_prefix("/@").or_else(|| rest.strip_prefix('@'));
        let length = name.map_or(rest.len(), |name| name.len() + 1);
        match (name, rest) {
            _ if length > LONGEST => Err(format!("the path has {length} bytes; the limit is {LONGEST}")),
            (Some(""), _) | (None, "" | "/") => Err(expected()),
            (Some(name), _) => Ok(Self::Abstract(name.to_owned())),
            (None, path) if path.starts_with('/') && !path.ends_with('/') => Ok(Self::Path(path.into())),
            (None, _) => Err(format!("{}, with three slashes and the path of a file", expected())),
        }
    }

    /// Returns the path that tokio's listener and stream take: with a leading NUL for the abstract namespace.
    pub(crate) fn socket_path(&self) -> PathBuf {
        match self {
            Self::Path(path) => path.clone(),
            Self::Abstract(name) => format!("\0{name}").into(),
        }
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "unix://{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:///@{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_may_have_any_case() {
        for text in
            ["unix:///opt/azurekms.socket", "UNIX:///opt/azurekms.socket", "Unix:///opt/azurekms.socket"]
        {
            let address = ListenAddr::parse(text).unwrap();
            assert_eq!(address, ListenAddr::Path("/opt/azurekms.socket".into()));
            assert_eq!(address.to_string(), "unix:///opt/azurekms.socket");
        }
    }

    #[test]
    fn abstract_names_are_read() {
        let address = ListenAddr::parse("unix:///@azurekms").unwrap();
        assert_eq!(address, ListenAddr::Abstract("azurekms".into()));
        assert_eq!(address.socket_path(), PathBuf::from("\0azurekms"));
    }

    #[test]
    fn everything_else_is_refused() {
        let long = format!("unix:///{}", "x".repeat(107));
        for text in [
            "",
            "/opt/x",
            "tcp://1.2.3.4:5",
            "unix://",
            "unix:///",
            "unix://opt/x",
            "unix:///x/",
            "unix:///@",
            &long,
        ] {
            assert!(ListenAddr::parse(text).is_err(), "{text}");
        }
    }
}
