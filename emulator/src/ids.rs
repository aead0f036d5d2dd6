//! Identifiers: random ones, and the object ids of applications.

use aws_lc_rs::digest::{SHA256, digest};

use crate::error::Error;

/// Returns that many random bytes in lower-case hex.
///
/// # Errors
/// The cryptographic library has no random bytes.
pub(crate) fn random_hex(bytes: usize) -> Result<String, Error> {
    let mut random = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Error("no random bytes".into()))?;
    Ok(hex(&random))
}

/// Returns a random GUID of version 4 (RFC 9562).
///
/// # Errors
/// As [`random_hex`].
pub(crate) fn random_guid() -> Result<String, Error> {
    Ok(guid(&random_hex(16)?))
}

/// Derives the object id of an application, which is the same in every run.
pub(crate) fn object_id(client_id: &str) -> String {
    guid(&hex(digest(&SHA256, client_id.as_bytes()).as_ref()))
}

/// Encodes in lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Formats 32 or more hex digits as a random GUID.
fn guid(hex: &str) -> String {
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}
