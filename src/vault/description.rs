//! What Key Vault tells of a key version beside its public key.

use std::time::SystemTime;

/// A key version as `GET /keys/{name}/{version}` describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyDescription {
    /// `kty`: `RSA`, `RSA-HSM`, `EC`, …
    pub kind: String,
    /// The size of the RSA modulus in bytes.
    pub modulus: Option<usize>,
    /// `key_ops`.
    pub operations: Vec<String>,
    /// Whether it may be used at all.
    pub enabled: bool,
    /// `nbf`.
    pub not_before: Option<SystemTime>,
    /// `exp`.
    pub expires: Option<SystemTime>,
    /// `recoveryLevel`: what becomes of it when it is deleted.
    pub recovery_level: Option<String>,
    /// For how many days it can be recovered then.
    pub recoverable_days: Option<i32>,
}
