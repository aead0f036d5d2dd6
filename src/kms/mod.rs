//! The domain: what is sealed, under which key version, and how it fails.
//!
//! Used by everything else. Knows no transport and no SDK, and never does I/O.

mod api;
mod ciphertext;
mod error;
mod key;
mod plaintext;

pub(crate) use api::{Api, Method};
pub(crate) use ciphertext::Encoding;
pub(crate) use error::{Blame, Code, ErrorKind, KmsError};
pub(crate) use key::{Algorithm, KeyId, KeyRing, KeyVersion};
pub(crate) use plaintext::Plaintext;

/// The result of Key Vault's encrypt operation, in the shape kube-apiserver stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Encrypted {
    /// ASCII text: base64url without padding of what Key Vault returned.
    pub ciphertext: Vec<u8>,
    /// Headers of Key Vault's answer that become KMS v2 annotations.
    pub receipt: Receipt,
}

/// The result of Key Vault's decrypt operation.
#[derive(Clone, Debug)]
pub(crate) struct Decrypted {
    /// What was sealed.
    pub plaintext: Plaintext,
    /// `x-ms-request-id`; empty if it was absent.
    pub request_id: String,
}

/// Where and when Key Vault sealed: the response headers that the Go plugin keeps as annotations.
/// A header that was absent is an empty string, as it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// `Date`.
    pub date: String,
    /// `x-ms-request-id`.
    pub request_id: String,
    /// `x-ms-keyvault-region`.
    pub region: String,
}
