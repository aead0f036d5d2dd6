//! The domain: what is sealed, under which key, and how it fails. Knows no transport and no SDK.
//!
//! Called by everything else; never does I/O.

mod error;
mod key;
mod text;

pub use error::{Code, KmsError};
pub use key::{Algorithm, KeyId, KeyRing, KeyVersion};
pub use text::{Annotations, Ciphertext, Plaintext, Sealed};
