//! Routes: the operation that a method and a path name.

use axum::http::Method;

/// An operation with the key and the version that the path names. Without a version it is for the newest.
pub(super) enum Route {
    /// `GET /keys`
    ListKeys,
    /// `GET /keys/{key}` and `GET /keys/{key}/{version}`
    Get(String, Option<String>),
    /// `GET /keys/{key}/versions`
    ListVersions(String),
    /// `POST /keys/{key}/create`
    Create(String),
    /// `PATCH /keys/{key}` and `PATCH /keys/{key}/{version}`
    Update(String, Option<String>),
    /// `POST /keys/{key}/rotate`
    Rotate(String),
    /// `POST /keys/{key}/{operation}` and `POST /keys/{key}/{version}/{operation}`, the operation as in `key_ops`
    Crypto(&'static str, String, Option<String>),
}

/// The cryptographic operations: as in URLs, in lower case, and as in `key_ops`.
const CRYPTO: [(&str, &str); 4] =
    [("encrypt", "encrypt"), ("decrypt", "decrypt"), ("wrapkey", "wrapKey"), ("unwrapkey", "unwrapKey")];

/// Finds the cryptographic operation of a path's segment.
fn crypto(segment: &str) -> Option<&'static str> {
    CRYPTO.into_iter().find(|(url, _)| url.eq_ignore_ascii_case(segment)).map(|(_, operation)| operation)
}

/// Reports whether the segment has the form of a version's identifier.
fn is_version(segment: &str) -> bool {
    segment.len() == 32 && segment.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Route {
    /// Parses a path as liberally as the real service: in any letter case, with doubled and trailing slashes.
    pub(super) fn parse(method: &Method, path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let (first, rest) = segments.split_first()?;
        if !first.eq_ignore_ascii_case("keys") {
            return None;
        }
        let is = |segment: &str, name: &str| segment.eq_ignore_ascii_case(name);
        match (method.as_str(), rest) {
            ("GET", []) => Some(Self::ListKeys),
            ("GET", [key]) => Some(Self::Get((*key).into(), None)),
            ("GET", [key, versions]) if is(versions, "versions") => Some(Self::ListVersions((*key).into())),
            ("GET", [key, version]) if is_version(version) => {
                Some(Self::Get((*key).into(), Some((*version).into())))
            }
            ("POST", [key, create]) if is(create, "create") => Some(Self::Create((*key).into())),
            ("POST", [key, rotate]) if is(rotate, "rotate") => Some(Self::Rotate((*key).into())),
            ("POST", [key, operation]) => Some(Self::Crypto(crypto(operation)?, (*key).into(), None)),
            ("POST", [key, version, operation]) if is_version(version) => {
                Some(Self::Crypto(crypto(operation)?, (*key).into(), Some((*version).into())))
            }
            ("PATCH", [key]) => Some(Self::Update((*key).into(), None)),
            ("PATCH", [key, version]) if is_version(version) => {
                Some(Self::Update((*key).into(), Some((*version).into())))
            }
            _ => None,
        }
    }

    /// Returns the name of the operation in permissions and statistics.
    pub(super) fn operation(&self) -> &'static str {
        match self {
            Self::ListKeys | Self::ListVersions(_) => "list",
            Self::Get(..) => "get",
            Self::Create(_) => "create",
            Self::Update(..) => "update",
            Self::Rotate(_) => "rotate",
            Self::Crypto(operation, ..) => operation,
        }
    }

    /// Returns the name of the key; empty for a list of keys.
    pub(super) fn key(&self) -> &str {
        match self {
            Self::ListKeys => "",
            Self::Get(key, _) | Self::ListVersions(key) | Self::Create(key) | Self::Update(key, _) => key,
            Self::Rotate(key) | Self::Crypto(_, key, _) => key,
        }
    }
}

/// Returns the name of the key in a path; empty when it has none.
pub(super) fn key_of(path: &str) -> &str {
    path.split('/').filter(|segment| !segment.is_empty()).nth(1).unwrap_or_default()
}
