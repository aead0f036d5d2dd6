//! The domain: key versions, plaintexts and ciphertexts, and the ways in which an operation fails.
//!
//! Used by all other modules. Knows no transport and no SDK, and never does I/O.

mod api;
mod ciphertext;
mod error;
mod key;
mod key_ring;
mod plaintext;

pub(crate) use api::{Api, Method};
pub(crate) use ciphertext::Encoding;
pub(crate) use error::{Blame, Code, ErrorKind, KmsError};
pub(crate) use key::{Algorithm, KeyId, KeyVersion};
pub(crate) use key_ring::KeyRing;
pub(crate) use plaintext::Plaintext;

/// The result of an encrypt operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Encrypted {
    /// The ciphertext: the engine returns it as Key Vault does, `grpc::service` encodes it ([`Encoding`]).
    pub ciphertext: Vec<u8>,
    /// The headers of Key Vault's response that become KMS v2 annotations.
    pub receipt: Receipt,
}

/// The result of a decrypt operation.
#[derive(Clone, Debug)]
pub(crate) struct Decrypted {
    /// The decrypted bytes.
    pub plaintext: Plaintext,
    /// The response's `x-ms-request-id`; empty if it was absent.
    pub request_id: String,
}

/// The headers of an encrypt response that the Go plugin stores as annotations. A header that was absent is an empty
/// string, as in the Go plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// `Date`.
    pub date: String,
    /// `x-ms-request-id`.
    pub request_id: String,
    /// `x-ms-keyvault-region`.
    pub region: String,
}
