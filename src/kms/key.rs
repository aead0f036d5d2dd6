//! Key versions and their public names.

use std::fmt;
use std::sync::OnceLock;

use super::KmsError;
use super::ciphertext::RSA_SIZES;

/// A padding scheme of RSA encryption that stored data may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Algorithm {
    /// RSAES-PKCS1-v1_5 (RFC 8017 §7.2), used by KMS v1.
    Rsa15,
    /// RSAES-OAEP with SHA-256 and MGF1-SHA-256 (RFC 8017 §7.1), used by KMS v2.
    RsaOaep256,
}

impl Algorithm {
    /// Returns the name in Key Vault's REST API (`JsonWebKeyEncryptionAlgorithm`).
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Rsa15 => "RSA1_5",
            Self::RsaOaep256 => "RSA-OAEP-256",
        }
    }

    /// Returns the longest plaintext in bytes for a modulus of `modulus_len` bytes: k − 11 for PKCS #1 v1.5 (RFC 8017
    /// §7.2.1), k − 2·32 − 2 for OAEP with SHA-256 (§7.1.1).
    pub(crate) fn longest_plaintext(self, modulus_len: usize) -> usize {
        let overhead = match self {
            Self::Rsa15 => 11,
            Self::RsaOaep256 => 66,
        };
        modulus_len.saturating_sub(overhead)
    }
}

/// The public name of a key version, `key_id` in KMS v2: the SHA-256 hash of its URL in lower-case hex, as in the Go
/// plugin.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct KeyId(String);

impl KeyId {
    /// Hashes the bytes of a key version's URL (`https://{vault}/keys/{name}/{version}`).
    pub(crate) fn of_url(url: &str) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, url.as_bytes());
        Self(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Returns the 64 hexadecimal digits.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The size of Key Vault's largest RSA modulus in bytes (4096 bits): the limit until a key's own size is known.
const LARGEST_MODULUS_LEN: usize = 512;

/// One version of one key in one vault.
#[derive(Debug)]
pub(crate) struct KeyVersion {
    /// The key's name in its vault.
    pub name: String,
    /// The version: 32 hexadecimal digits.
    pub version: String,
    /// The public name, which kube-apiserver stores beside each ciphertext.
    pub id: KeyId,
    modulus_len: OnceLock<usize>,
}

impl KeyVersion {
    /// Creates the version whose URL is `url`, with a modulus of unknown size.
    pub(crate) fn new(url: &str, name: impl Into<String>, version: impl Into<String>) -> Self {
        let (name, version, id) = (name.into(), version.into(), KeyId::of_url(url));
        Self { name, version, id, modulus_len: OnceLock::new() }
    }

    /// Stores the size of the modulus in bytes, as read from the key or taken from a ciphertext.
    pub(crate) fn set_modulus_len(&self, bytes: usize) {
        let _ = self.modulus_len.set(bytes); // a version's size never changes: the first value stays
    }

    /// Returns whether a ciphertext of this key can have that many bytes: the size of its modulus once that is known,
    /// until then that of any RSA key of Key Vault.
    pub(crate) fn is_ciphertext_len(&self, bytes: usize) -> bool {
        self.modulus_len.get().map_or_else(|| RSA_SIZES.contains(&bytes), |size| *size == bytes)
    }

    /// Checks the length of a plaintext in bytes against the limit of this key and algorithm.
    ///
    /// # Errors
    /// `InvalidArgument` when the plaintext is empty, or longer than the limit, which the message names.
    pub(crate) fn check_plaintext(&self, length: usize, algorithm: Algorithm) -> Result<(), KmsError> {
        let limit = algorithm.longest_plaintext(*self.modulus_len.get().unwrap_or(&LARGEST_MODULUS_LEN));
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
        for (modulus_len, pkcs1, oaep) in [(256, 245, 190), (384, 373, 318), (512, 501, 446)] {
            assert_eq!(Algorithm::Rsa15.longest_plaintext(modulus_len), pkcs1);
            assert_eq!(Algorithm::RsaOaep256.longest_plaintext(modulus_len), oaep);
        }
    }

    #[test]
    fn the_limit_is_that_of_the_largest_key_until_the_size_is_known() {
        let key = version();
        assert!(key.check_plaintext(446, Algorithm::RsaOaep256).is_ok());
        key.set_modulus_len(256);
        assert!(key.check_plaintext(190, Algorithm::RsaOaep256).is_ok());
        let error = key.check_plaintext(191, Algorithm::RsaOaep256).unwrap_err();
        assert!(error.message.contains("190 bytes"), "{error}");
    }

    #[test]
    fn an_empty_plaintext_is_refused() {
        assert!(version().check_plaintext(0, Algorithm::Rsa15).is_err());
    }
}
