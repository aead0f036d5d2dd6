//! A client's certificate as Entra ID sees it: public key, thumbprints and the time in which it is good.

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
    pub pem: String,
    pub der: Vec<u8>,
    /// SHA-1 of it.
    pub x5t: Vec<u8>,
    /// SHA-256 of it.
    pub x5t_s256: Vec<u8>,
    /// From and until, in Unix seconds.
    pub good: (i64, i64),
    key: Vec<u8>,
}

impl Certificate {
    /// # Errors
    /// Why it is none.
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
            good: (validity.not_before.timestamp(), validity.not_after.timestamp()),
            der: der.to_vec(),
            key,
            pem,
        })
    }

    pub(crate) fn key(&self) -> DecodingKey {
        DecodingKey::from_rsa_der(&self.key)
    }

    pub(crate) fn is_good_now(&self) -> bool {
        let now = i64::try_from(now()).unwrap_or(i64::MAX);
        (self.good.0..=self.good.1).contains(&now)
    }
}
