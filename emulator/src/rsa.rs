//! RSA with aws-lc: keys, paddings and signatures of RFC 8017.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey,
    OaepPublicEncryptingKey, Pkcs1PrivateDecryptingKey, Pkcs1PublicEncryptingKey, PrivateDecryptingKey,
};
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};

use crate::error::Error;

/// An RSA key pair.
pub(crate) struct RsaKey {
    /// The key pair as PKCS#8 in DER (RFC 5958).
    pkcs8: Vec<u8>,
    /// The same key pair, for signatures.
    signing: RsaKeyPair,
    /// The same key pair, for encryption and decryption.
    decrypting: PrivateDecryptingKey,
}

impl RsaKey {
    /// Generates a key of 2048, 3072 or 4096 bits.
    ///
    /// # Errors
    /// `bits` is another number, or the cryptographic library fails.
    pub(crate) fn generate(bits: u64) -> Result<Self, Error> {
        let size = match bits {
            2048 => KeySize::Rsa2048,
            3072 => KeySize::Rsa3072,
            4096 => KeySize::Rsa4096,
            other => return Err(Error(format!("{other} is not a key size"))),
        };
        let key = PrivateDecryptingKey::generate(size).map_err(failed)?;
        let der: Pkcs8V1Der<'_> = key.as_der().map_err(failed)?;
        Self::from_pkcs8(der.as_ref())
    }

    /// Parses a stored key: PKCS#8 in DER.
    ///
    /// # Errors
    /// The bytes are no RSA key in that form.
    pub(crate) fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, Error> {
        let unreadable = |error| Error(format!("a kept key cannot be read: {error}"));
        let signing = RsaKeyPair::from_pkcs8(pkcs8).map_err(unreadable)?;
        let decrypting = PrivateDecryptingKey::from_pkcs8(pkcs8).map_err(unreadable)?;
        Ok(Self { pkcs8: pkcs8.to_vec(), signing, decrypting })
    }

    /// Returns the key pair as PKCS#8 in DER.
    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// Returns modulus and exponent, big-endian without leading zeros.
    pub(crate) fn components(&self) -> (Vec<u8>, Vec<u8>) {
        let public = self.signing.public_key();
        let modulus = public.modulus().big_endian_without_leading_zero().to_vec();
        (modulus, public.exponent().big_endian_without_leading_zero().to_vec())
    }

    /// Signs with RSASSA-PKCS1-v1_5 and SHA-256 (RS256 of RFC 7518).
    ///
    /// # Errors
    /// The cryptographic library fails.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut signature = vec![0; self.signing.public_modulus_len()];
        self.signing
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(failed)?;
        Ok(signature)
    }

    /// Encrypts; `None` when the plaintext is too long or the algorithm is not `RSA1_5`, `RSA-OAEP` or `RSA-OAEP-256`.
    pub(crate) fn encrypt(&self, algorithm: &str, plaintext: &[u8]) -> Option<Vec<u8>> {
        let public = self.decrypting.public_key();
        let mut out = vec![0; public.key_size_bytes()];
        let written = match oaep(algorithm) {
            Some(oaep) => OaepPublicEncryptingKey::new(public)
                .ok()?
                .encrypt(oaep, plaintext, &mut out, None)
                .ok()?
                .len(),
            None if algorithm == "RSA1_5" => {
                Pkcs1PublicEncryptingKey::new(public).ok()?.encrypt(plaintext, &mut out).ok()?.len()
            }
            None => return None,
        };
        out.truncate(written);
        Some(out)
    }

    /// Decrypts; `None` for every failure alike, so that there is no padding oracle.
    pub(crate) fn decrypt(&self, algorithm: &str, ciphertext: &[u8]) -> Option<Vec<u8>> {
        let private = self.decrypting.clone();
        let mut out = vec![0; private.key_size_bytes()];
        let written = match oaep(algorithm) {
            Some(oaep) => OaepPrivateDecryptingKey::new(private)
                .ok()?
                .decrypt(oaep, ciphertext, &mut out, None)
                .ok()?
                .len(),
            None if algorithm == "RSA1_5" => {
                Pkcs1PrivateDecryptingKey::new(private).ok()?.decrypt(ciphertext, &mut out).ok()?.len()
            }
            None => return None,
        };
        out.truncate(written);
        Some(out)
    }
}

fn oaep(algorithm: &str) -> Option<&'static OaepAlgorithm> {
    match algorithm {
        "RSA-OAEP" => Some(&OAEP_SHA1_MGF1SHA1),
        "RSA-OAEP-256" => Some(&OAEP_SHA256_MGF1SHA256),
        _ => None,
    }
}

fn failed(_: aws_lc_rs::error::Unspecified) -> Error {
    Error("the cryptographic library failed".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_padding_round_trips_up_to_its_limit_and_no_further() {
        let key = RsaKey::generate(2048).unwrap();
        for (algorithm, limit) in [("RSA1_5", 245), ("RSA-OAEP", 214), ("RSA-OAEP-256", 190)] {
            let plaintext = vec![7; limit];
            let ciphertext = key.encrypt(algorithm, &plaintext).unwrap();
            assert_eq!(ciphertext.len(), 256);
            assert_eq!(key.decrypt(algorithm, &ciphertext).unwrap(), plaintext);
            assert!(key.encrypt(algorithm, &vec![7; limit + 1]).is_none(), "{algorithm}");
        }
        assert!(key.encrypt("A256GCM", b"x").is_none());
    }

    #[test]
    fn a_stored_key_is_the_same_key() {
        let key = RsaKey::generate(2048).unwrap();
        let stored = RsaKey::from_pkcs8(key.pkcs8()).unwrap();
        assert_eq!(stored.components(), key.components());
        assert_eq!(stored.components().1, [1, 0, 1]);
    }
}
