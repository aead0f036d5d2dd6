//! Client certificates: PKCS#12 (RFC 7292) or PEM (RFC 7468), with an RSA key.
//!
//! No error repeats anything of the file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::KeyPair as _;
use p12_keystore::Pkcs12Archive;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::files;

/// A certificate with its private key.
#[derive(Clone)]
pub(crate) struct ClientCertificate {
    /// The private key.
    pub key: Arc<KeyPair>,
    /// The certificates in DER, the key's own first.
    pub chain: Vec<Vec<u8>>,
    /// The file that it was read from.
    pub path: PathBuf,
    /// True if Entra ID knows it by its issuer only, and so needs the chain.
    pub is_chain_needed: bool,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}

/// The key in DER, and the certificates.
type Parts = (Zeroizing<Vec<u8>>, Vec<Vec<u8>>);

/// Reads the file, and checks that it can be used now.
///
/// # Errors
/// The file cannot be read, or [`parse`] refuses it: a sentence without the file's name.
pub(super) fn load(path: &Path, password: &str) -> Result<ClientCertificate, String> {
    let (key, chain) = parse(&files::read(path)?, password)?;
    Ok(ClientCertificate { key: Arc::new(key), chain, path: path.to_owned(), is_chain_needed: false })
}

/// Reads the content of such a file: the key, and the certificates with the key's own first.
///
/// # Errors
/// It is neither PKCS#12 nor PEM, the password is wrong, it does not hold exactly one RSA key of 2048 to 8192 bits with its
/// certificate, or that certificate is not valid now.
pub(super) fn parse(content: &[u8], password: &str) -> Result<(KeyPair, Vec<Vec<u8>>), String> {
    const PEM_MARK: &[u8] = b"-----BEGIN ";
    let is_pem = content.windows(PEM_MARK.len()).any(|window| window == PEM_MARK);
    let (key, mut certificates) = if is_pem { pem(content)? } else { pkcs12(content, password)? };
    let key = rsa_key(&key)?;
    let own = certificates.iter().position(|certificate| belongs_to(certificate, &key));
    let own = certificates.remove(own.ok_or("holds no certificate of its private key")?);
    check_dates(&own)?;
    Ok((key, chain_of(own, certificates)))
}

/// Reads a PKCS#12 archive.
///
/// # Errors
/// It is not PKCS#12, the password is wrong, or it does not hold exactly one private key.
fn pkcs12(content: &[u8], password: &str) -> Result<Parts, String> {
    use p12_keystore::error::Error;
    let archive = Pkcs12Archive::from_pkcs12(content, password);
    let archive = archive.map_err(|error| match error {
        Error::MacError(_) | Error::Pkcs5Error(_) | Error::UnpadError if password.is_empty() => {
            "cannot be opened without a password, and none is given (aadClientCertPassword)".to_owned()
        }
        Error::MacError(_) | Error::Pkcs5Error(_) | Error::UnpadError => {
            "cannot be opened with aadClientCertPassword: that is not its password".to_owned()
        }
        _ => "is neither PKCS#12 nor PEM".to_owned(),
    })?;
    let key = match archive.keys.as_slice() {
        [] => return Err("holds no private key".into()),
        [bag] => Zeroizing::new(bag.key.as_der().to_vec()),
        _ => return Err("holds several private keys; keep the one to use".into()),
    };
    Ok((key, archive.certs.iter().map(|bag| bag.cert.as_der().to_vec()).collect()))
}

/// Reads a private key and certificates in PEM.
///
/// # Errors
/// The key is absent or encrypted, or a certificate is not valid PEM.
fn pem(content: &[u8]) -> Result<Parts, String> {
    if content.windows(9).any(|window| window == b"ENCRYPTED") {
        return Err(
            "holds an encrypted key in PEM: decrypt it, or use PKCS#12 with aadClientCertPassword".into()
        );
    }
    let key = PrivateKeyDer::from_pem_slice(content).map_err(|_| "holds no private key in PEM")?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(content).collect();
    let certificates = certificates.map_err(|_| "holds a certificate that is not valid PEM")?;
    let key = Zeroizing::new(key.secret_der().to_vec());
    Ok((key, certificates.into_iter().map(|certificate| certificate.to_vec()).collect()))
}

/// Reads PKCS#8 or PKCS#1.
///
/// # Errors
/// It is not RSA of 2048 to 8192 bits.
fn rsa_key(der: &[u8]) -> Result<KeyPair, String> {
    KeyPair::from_pkcs8(der).or_else(|_| KeyPair::from_der(der)).map_err(|_| {
        "holds a private key that is not RSA of 2048 to 8192 bits; Entra ID takes no other here".to_owned()
    })
}

/// Compares the public keys, which both hold as RFC 8017's `RSAPublicKey` in DER.
fn belongs_to(certificate: &[u8], key: &KeyPair) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, certificate)| {
        *certificate.public_key().subject_public_key.data == *key.public_key().as_ref()
    })
}

/// Returns the certificate, then the one that certifies it, and so on (RFC 7515 §4.1.6). Others are left out.
fn chain_of(own: Vec<u8>, mut others: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut chain = vec![own];
    while let Some(next) = others.iter().position(|other| certifies(other, &chain[chain.len() - 1])) {
        chain.push(others.remove(next));
    }
    chain
}

fn certifies(issuer: &[u8], certificate: &[u8]) -> bool {
    match (X509Certificate::from_der(issuer), X509Certificate::from_der(certificate)) {
        (Ok((_, issuer)), Ok((_, certificate))) => issuer.subject().as_raw() == certificate.issuer().as_raw(),
        _ => false,
    }
}

/// Checks that the certificate is valid now.
///
/// # Errors
/// It is not X.509, has expired, or is not valid yet.
fn check_dates(certificate: &[u8]) -> Result<(), String> {
    let parsed =
        X509Certificate::from_der(certificate).map_err(|_| "holds a certificate that is not X.509")?;
    let (validity, now) = (parsed.1.validity(), x509_parser::time::ASN1Time::now());
    if now > validity.not_after {
        return Err(format!("holds a certificate that expired on {}", validity.not_after));
    }
    if now < validity.not_before {
        return Err(format!("holds a certificate that is not valid before {}", validity.not_before));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
