//! The encodings of stored ciphertexts. No other module looks at their bytes, and only `grpc::service` calls this one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{KmsError, Plaintext};

/// The sizes in bytes of the ciphertexts of Key Vault's RSA keys: 2048, 3072 and 4096 bits.
pub(super) const RSA_SIZES: [usize; 3] = [256, 384, 512];

/// The form in which a KMS plugin for Key Vault stores a ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Base64url text without padding (RFC 4648 §5), written by Azure/kubernetes-kms and by this plugin.
    Text,
    /// Raw bytes, written by the OpenShift fork, which encrypts the base64url text of the plaintext.
    Raw,
}

impl Encoding {
    /// Decodes a stored ciphertext: returns its encoding, and the bytes that Key Vault returned.
    ///
    /// # Errors
    /// `InvalidArgument` when it is empty or in neither encoding.
    pub(crate) fn decode(ciphertext: &[u8]) -> Result<(Self, Vec<u8>), KmsError> {
        if ciphertext.is_empty() {
            return Err(KmsError::invalid("the ciphertext is empty"));
        }
        if let Ok(bytes) = URL_SAFE_NO_PAD.decode(ciphertext)
            && RSA_SIZES.contains(&bytes.len())
        {
            return Ok((Self::Text, bytes));
        }
        if RSA_SIZES.contains(&ciphertext.len()) {
            return Ok((Self::Raw, ciphertext.to_vec()));
        }
        Err(KmsError::invalid(format!(
            "the ciphertext of {} bytes was not written by this plugin: it is neither the base64url text nor the \
             raw bytes of an RSA result of 2048, 3072 or 4096 bits",
            ciphertext.len()
        )))
    }

    /// Encodes the bytes that Key Vault returned as [`Self::Text`], in which this plugin stores them.
    pub(crate) fn encode(bytes: &[u8]) -> Vec<u8> {
        URL_SAFE_NO_PAD.encode(bytes).into_bytes()
    }

    /// Decodes the plaintext from the bytes that Key Vault decrypted.
    ///
    /// # Errors
    /// `InvalidArgument` when the ciphertext was [`Self::Raw`] and the bytes are not base64url text.
    pub(crate) fn decode_plaintext(self, decrypted: Plaintext) -> Result<Plaintext, KmsError> {
        match self {
            Self::Text => Ok(decrypted),
            Self::Raw => URL_SAFE_NO_PAD.decode(decrypted.expose()).map(Plaintext::new).map_err(|_| {
                KmsError::invalid("the ciphertext is raw bytes, but its content is not base64url text")
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_recognised_as_text_for_every_key_size() {
        for size in RSA_SIZES {
            let result: Vec<u8> = (0..size).map(|i| (i * 7 % 251) as u8).collect();
            let text = Encoding::encode(&result);
            assert_eq!(text.len(), [342, 512, 683][size / 128 - 2]);
            assert_eq!(Encoding::decode(&text).unwrap(), (Encoding::Text, result));
        }
    }

    #[test]
    fn raw_results_are_recognised_although_512_is_also_a_length_of_text() {
        for size in RSA_SIZES {
            let raw = vec![0xfb; size];
            assert_eq!(Encoding::decode(&raw).unwrap(), (Encoding::Raw, raw));
        }
    }

    #[test]
    fn other_bytes_are_refused_with_their_length() {
        for foreign in [b"x".as_slice(), &[b'A'; 341], &[0u8; 257]] {
            let error = Encoding::decode(foreign).unwrap_err();
            assert!(error.message.contains(&format!("{} bytes", foreign.len())), "{error}");
        }
        assert!(Encoding::decode(b"").unwrap_err().message.contains("empty"));
    }

    #[test]
    fn the_value_in_the_raw_form_is_decoded_once_more() {
        let inner = Plaintext::new(URL_SAFE_NO_PAD.encode("data key").into_bytes());
        assert_eq!(Encoding::Raw.decode_plaintext(inner).unwrap().expose(), b"data key");
        assert!(Encoding::Raw.decode_plaintext(Plaintext::new(b"*not base64*".to_vec())).is_err());
        assert_eq!(
            Encoding::Text.decode_plaintext(Plaintext::new(b"abcd".to_vec())).unwrap().expose(),
            b"abcd"
        );
    }
}
