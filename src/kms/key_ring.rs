//! The ring of key versions: one encrypts, and all of them decrypt.

use std::sync::Arc;

use super::{KeyVersion, KmsError};

/// The key versions in use: the current one encrypts, and all of them decrypt.
#[derive(Debug)]
pub(crate) struct KeyRing {
    current: Arc<KeyVersion>,
    others: Vec<Arc<KeyVersion>>,
}

impl KeyRing {
    /// Creates a ring that holds one version.
    pub(crate) fn single(current: KeyVersion) -> Self {
        Self { current: Arc::new(current), others: Vec::new() }
    }

    /// Returns the version that encrypts, and whose id Status reports.
    pub(crate) fn current(&self) -> &Arc<KeyVersion> {
        &self.current
    }

    /// Returns the version with that public name.
    ///
    /// # Errors
    /// `InvalidArgument` when the ring holds no such version: the data was encrypted with a key version that this plugin
    /// is not configured for.
    pub(crate) fn find(&self, id: &str) -> Result<&Arc<KeyVersion>, KmsError> {
        std::iter::once(&self.current).chain(&self.others).find(|version| version.id.as_str() == id).ok_or_else(|| {
            KmsError::invalid(
                "the key_id is not one of this plugin's key versions: the data was sealed under another vault, \
                 key or key version",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_finds_the_current_version_by_its_id_and_no_other() {
        let ring = KeyRing::single(KeyVersion::new("https://vault/keys/k8s/1", "k8s", "1"));
        let id = ring.current().id.clone();
        assert!(ring.find(id.as_str()).is_ok());
        assert!(ring.find("abc").is_err());
    }
}
