//! Secret bytes that are wiped when dropped.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// The bytes to encrypt, or that were decrypted: a data key or its seed. Clones share one copy, which is wiped when the
/// last of them is dropped; the copies in the buffers of gRPC and TLS are not.
#[derive(Clone)]
pub(crate) struct Plaintext(Arc<Zeroizing<Vec<u8>>>);

impl Plaintext {
    /// Wraps the bytes without copying them.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }

    /// Returns the secret bytes.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plaintext(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_byte_of_the_plaintext() {
        assert_eq!(format!("{:?}", Plaintext::new(b"s3cr3t".to_vec())), "Plaintext(..)");
    }
}
