//! A client's certificate as Entra ID registers it: public key, thumbprints and validity.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use jsonwebtoken::DecodingKey;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::tokens::now;

/// A certificate with an RSA key.
#[derive(Clone)]
pub(crate) struct Certificate {
    /// The certificate as it was registered.
    pub pem: String,
    /// The same in DER.
    pub der: Vec<u8>,
    /// SHA-1 of the DER: the thumbprint in the `x5t` header (RFC 7515, section 4.1.7).
    pub x5t: Vec<u8>,
    /// SHA-256 of the DER: the thumbprint in the `x5t#S256` header (RFC 7515, section 4.1.8).
    pub x5t_s256: Vec<u8>,
    /// First and last second of its validity, in Unix seconds.
    validity: (i64, i64),
    /// The RSA public key in DER (PKCS#1).
    key: Vec<u8>,
}

impl Certificate {
    /// Parses the first certificate of the PEM.
    ///
    /// # Errors
    /// There is no certificate in it, or its key is not RSA.
    pub(crate) fn read(pem: String) -> Result<Self, String> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| "no PEM of a certificate")?;
        let (_, read) = X509Certificate::from_der(&der).map_err(|_| "no X.509 certificate")?;
        let Ok(PublicKey::RSA(_)) = read.public_key().parsed() else {
            return Err("its key is not RSA".into());
        };
        let (key, validity) = (read.public_key().subject_public_key.data.to_vec(), read.validity());
        Ok(Self {
            x5t: digest(&SHA1_FOR_LEGACY_USE_ONLY, &der).as_ref().to_vec(),
            x5t_s256: digest(&SHA256, &der).as_ref().to_vec(),
            validity: (validity.not_before.timestamp(), validity.not_after.timestamp()),
            der: der.to_vec(),
            key,
            pem,
        })
    }

    /// Returns its public key, for checking signatures.
    pub(crate) fn key(&self) -> DecodingKey {
        DecodingKey::from_rsa_der(&self.key)
    }

    /// Reports whether this machine's clock is within its validity.
    pub(crate) fn is_valid_now(&self) -> bool {
        let now = i64::try_from(now()).unwrap_or(i64::MAX);
        (self.validity.0..=self.validity.1).contains(&now)
    }
}
