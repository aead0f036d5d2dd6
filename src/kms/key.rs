//! Key versions, their public names, and the ring they are found in.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::KmsError;
use super::ciphertext::RSA_SIZES;

/// The padding schemes that stored data may use, by the names of Key Vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Algorithm {
    /// RSAES-PKCS1-v1_5 (RFC 8017 §7.2): what KMS v1 uses.
    Rsa15,
    /// RSAES-OAEP with SHA-256 and MGF1-SHA-256 (RFC 8017 §7.1): what KMS v2 uses.
    RsaOaep256,
}

impl Algorithm {
    /// Key Vault's name of the algorithm.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Rsa15 => "RSA1_5",
            Self::RsaOaep256 => "RSA-OAEP-256",
        }
    }

    /// The longest plaintext in bytes for a modulus of `modulus` bytes (RFC 8017: k − 11 and k − 2·32 − 2).
    pub(crate) fn longest_plaintext(self, modulus: usize) -> usize {
        let overhead = match self {
            Self::Rsa15 => 11,
            Self::RsaOaep256 => 66,
        };
        modulus.saturating_sub(overhead)
    }
}

/// The public name of a key version: lower-case hex SHA-256 of its URL, as the Go plugin makes it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct KeyId(String);

impl KeyId {
    /// Hashes the URL (`https://{vault}/keys/{name}/{version}`) byte for byte.
    pub(crate) fn of_url(url: &str) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, url.as_bytes());
        Self(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The 64 hexadecimal digits.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The largest RSA modulus of Key Vault in bytes (4096 bits); the bound while a key's own size is unknown.
const LARGEST_MODULUS: usize = 512;

/// One version of one key in one vault.
#[derive(Debug)]
pub(crate) struct KeyVersion {
    /// The key's name in its vault.
    pub name: String,
    /// The version: 32 hexadecimal digits.
    pub version: String,
    /// The public name, which kube-apiserver stores beside what was sealed.
    pub id: KeyId,
    modulus: OnceLock<usize>,
}

impl KeyVersion {
    /// The version whose URL is `url`.
    pub(crate) fn new(url: &str, name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { name: name.into(), version: version.into(), id: KeyId::of_url(url), modulus: OnceLock::new() }
    }

    /// Remembers the size of the modulus in bytes, once it is known from the key or from a ciphertext.
    pub(crate) fn learn_modulus(&self, bytes: usize) {
        let _ = self.modulus.set(bytes); // a version's size never changes: the first lesson stands
    }

    /// Whether a result of that many bytes can be this key's: its own size once known, else that of any RSA key of
    /// Key Vault.
    pub(crate) fn fits(&self, bytes: usize) -> bool {
        self.modulus.get().map_or_else(|| RSA_SIZES.contains(&bytes), |size| *size == bytes)
    }

    /// Refuses what is empty or longer than this key and algorithm allow.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the limit.
    pub(crate) fn check_plaintext(&self, length: usize, algorithm: Algorithm) -> Result<(), KmsError> {
        let limit = algorithm.longest_plaintext(*self.modulus.get().unwrap_or(&LARGEST_MODULUS));
        match length {
            0 => Err(KmsError::invalid("the plaintext is empty")),
            n if n > limit => Err(KmsError::invalid(format!(
                "the plaintext of {n} bytes is longer than the {limit} bytes that {} allows with this key",
                algorithm.as_str()
            ))),
            _ => Ok(()),
        }
    }
}

/// The key versions in use: one current, which seals, and others that only open.
#[derive(Debug)]
pub(crate) struct KeyRing {
    current: Arc<KeyVersion>,
    others: Vec<Arc<KeyVersion>>,
}

impl KeyRing {
    /// A ring that holds one version.
    pub(crate) fn single(current: KeyVersion) -> Self {
        Self { current: Arc::new(current), others: Vec::new() }
    }

    /// The version that seals, and whose id Status reports.
    pub(crate) fn current(&self) -> &Arc<KeyVersion> {
        &self.current
    }

    /// The version of that public name.
    ///
    /// # Errors
    /// `InvalidArgument`: the data was sealed under a key version that this plugin was not told of.
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

    fn version() -> KeyVersion {
        KeyVersion::new("https://testkv.vault.azure.net/keys/key1/version1", "key1", "version1")
    }

    #[test]
    fn key_id_is_the_hex_sha256_of_the_url() {
        // printf %s https://testkv.vault.azure.net/keys/key1/version1 | sha256sum
        assert_eq!(version().id.as_str(), "d2f689deb166511c905750f7a629d9410a719304f0e44f7e378376bc1bd3bc09");
    }

    #[test]
    fn plaintext_limits_follow_rfc_8017() {
        for (modulus, pkcs1, oaep) in [(256, 245, 190), (384, 373, 318), (512, 501, 446)] {
            assert_eq!(Algorithm::Rsa15.longest_plaintext(modulus), pkcs1);
            assert_eq!(Algorithm::RsaOaep256.longest_plaintext(modulus), oaep);
        }
    }

    #[test]
    fn the_limit_is_that_of_the_largest_key_until_the_size_is_known() {
        let key = version();
        assert!(key.check_plaintext(446, Algorithm::RsaOaep256).is_ok());
        key.learn_modulus(256);
        assert!(key.check_plaintext(190, Algorithm::RsaOaep256).is_ok());
        let error = key.check_plaintext(191, Algorithm::RsaOaep256).unwrap_err();
        assert!(error.message.contains("190 bytes"), "{error}");
    }

    #[test]
    fn an_empty_plaintext_is_refused() {
        assert!(version().check_plaintext(0, Algorithm::Rsa15).is_err());
    }

    #[test]
    fn the_ring_finds_the_current_version_by_its_id_and_no_other() {
        let ring = KeyRing::single(version());
        let id = ring.current().id.clone();
        assert!(ring.find(id.as_str()).is_ok());
        assert!(ring.find("abc").is_err());
    }
}
