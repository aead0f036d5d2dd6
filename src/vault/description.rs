//! The attributes of a key version in Key Vault.

use std::time::SystemTime;

/// The attributes of a key version, from a `KeyBundle` (`GET /keys/{name}/{version}`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyDescription {
    /// The key type (`kty`): `RSA`, `RSA-HSM`, `EC`, …
    pub key_type: String,
    /// The size of the RSA modulus in bytes; `None` for another type of key.
    pub modulus_len: Option<usize>,
    /// The operations that the key allows (`key_ops`).
    pub operations: Vec<String>,
    /// Set when the key version may be used.
    pub is_enabled: bool,
    /// The time before which it may not be used (`nbf`).
    pub not_before: Option<SystemTime>,
    /// The time after which it may not be used (`exp`).
    pub expires: Option<SystemTime>,
    /// The vault's policy for deleted keys (`recoveryLevel`).
    pub recovery_level: Option<String>,
    /// The number of days for which a deleted key can be recovered (`recoverableDays`).
    pub recoverable_days: Option<i32>,
}
