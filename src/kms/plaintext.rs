//! Secret bytes that are wiped when dropped.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// What is to be sealed, or was opened: a data key or its seed. Shared, not copied, when a request is asked again.
/// Our copy is wiped when the last owner drops it; those in gRPC and TLS buffers are not ours to wipe.
#[derive(Clone)]
pub(crate) struct Plaintext(Arc<Zeroizing<Vec<u8>>>);

impl Plaintext {
    /// Takes the bytes without copying them.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }

    /// The secret itself.
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
