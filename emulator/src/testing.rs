//! Credentials for tests: certificates with their keys, and some that Entra ID does not accept.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::pki_types::PrivatePkcs8KeyDer;

use crate::error::Error;
use crate::rsa::RsaKey;

/// A client certificate with its key.
#[derive(Clone)]
pub struct ClientCertificate {
    /// The certificate, as PEM. This is what Entra ID registers.
    pub certificate_pem: String,
    /// Its key (PKCS#8), as PEM.
    pub key_pem: String,
    /// The certificates of its issuers, the direct one first, as PEM. None when it is self-signed.
    pub chain_pem: Vec<String>,
}

impl ClientCertificate {
    /// Generates a self-signed one with an RSA key of 2048 bits.
    ///
    /// # Errors
    /// The cryptographic library fails.
    pub fn rsa() -> Result<Self, Error> {
        Self::rsa_of(2048)
    }

    /// Generates a self-signed one with an RSA key of 2048, 3072 or 4096 bits.
    ///
    /// # Errors
    /// `bits` is another number, or the cryptographic library fails.
    pub fn rsa_of(bits: u64) -> Result<Self, Error> {
        Self::self_signed(&params("akv-emulator client")?, &rsa_key(bits)?)
    }

    /// Generates a self-signed one with an RSA key that expired in 2021.
    ///
    /// # Errors
    /// As [`Self::rsa`].
    pub fn expired() -> Result<Self, Error> {
        let mut params = params("akv-emulator expired client")?;
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        Self::self_signed(&params, &rsa_key(2048)?)
    }

    /// Generates a self-signed one with a key on an elliptic curve (P-256), which Entra ID does not accept.
    ///
    /// # Errors
    /// As [`Self::rsa`].
    pub fn ec() -> Result<Self, Error> {
        Self::self_signed(&params("akv-emulator EC client")?, &KeyPair::generate().map_err(failed)?)
    }

    /// Generates one with an RSA key of 2048 bits, issued by a CA of its own, which is its chain.
    ///
    /// # Errors
    /// As [`Self::rsa`].
    pub fn issued() -> Result<Self, Error> {
        let mut authority = params("akv-emulator client CA")?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().map_err(failed)?);
        let (issuer, key) = (issuer.map_err(failed)?, rsa_key(2048)?);
        let certificate = params("akv-emulator issued client")?.signed_by(&key, &issuer).map_err(failed)?;
        Ok(Self {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            chain_pem: vec![issuer.pem()],
        })
    }

    /// Returns key, certificate and chain in one PEM file, as clients read it.
    pub fn pem(&self) -> String {
        [&self.key_pem, &self.certificate_pem].into_iter().chain(&self.chain_pem).cloned().collect()
    }

    /// Signs the certificate with its own key.
    ///
    /// # Errors
    /// The cryptographic library fails.
    fn self_signed(params: &CertificateParams, key: &KeyPair) -> Result<Self, Error> {
        let certificate = params.self_signed(key).map_err(failed)?;
        Ok(Self { certificate_pem: certificate.pem(), key_pem: key.serialize_pem(), chain_pem: Vec::new() })
    }
}

/// Describes a certificate with that common name.
///
/// # Errors
/// The name is not valid in a certificate.
fn params(name: &str) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

/// Generates an RSA key.
///
/// # Errors
/// There are no keys of that size, or the cryptographic library fails.
fn rsa_key(bits: u64) -> Result<KeyPair, Error> {
    let key = RsaKey::generate(bits)?;
    let der = PrivatePkcs8KeyDer::from(key.pkcs8());
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_RSA_SHA256).map_err(failed)
}

fn failed(error: rcgen::Error) -> Error {
    Error(format!("no certificate: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Certificate;

    #[test]
    fn a_file_holds_the_key_the_certificate_and_its_chain() {
        let issued = ClientCertificate::issued().unwrap();
        let (file, begin) = (issued.pem(), "-----BEGIN ");
        let kinds: Vec<_> = file.lines().filter_map(|line| line.strip_prefix(begin)).collect();
        assert_eq!(kinds, ["PRIVATE KEY-----", "CERTIFICATE-----", "CERTIFICATE-----"]);
        assert!(Certificate::read(file).is_ok_and(|certificate| certificate.is_valid_now()));
    }

    #[test]
    fn keys_have_the_size_that_is_asked_for() {
        for bits in [2048, 3072] {
            let made = ClientCertificate::rsa_of(bits).unwrap();
            let key = KeyPair::from_pem(&made.key_pem).unwrap();
            assert!(key.public_key_raw().len() as u64 > bits / 8);
            assert!(key.public_key_raw().len() as u64 <= bits / 8 + 20);
        }
        assert!(ClientCertificate::rsa_of(1024).is_err());
    }
}
