//! Identifiers: random ones, and the object ids of applications.

use aws_lc_rs::digest::{SHA256, digest};

use crate::Error;

/// So many random bytes, in hex.
pub(crate) fn random_hex(bytes: usize) -> Result<String, Error> {
    let mut random = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Error("no random bytes".into()))?;
    Ok(hex(&random))
}

pub(crate) fn random_guid() -> Result<String, Error> {
    Ok(guid(&random_hex(16)?))
}

/// The object id of an application, which is always the same.
pub(crate) fn object_id(client_id: &str) -> String {
    guid(&hex(digest(&SHA256, client_id.as_bytes()).as_ref()))
}

/// In lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The shape of a random GUID, from 32 digits or more.
fn guid(hex: &str) -> String {
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}
