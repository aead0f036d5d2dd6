//! The emulator's own CA, stored in the folder, and a certificate for every host it serves.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use crate::clouds::{self, Cloud};
use crate::error::Error;
use crate::files::{file_error, read_if_exists, write_private};

/// Returns the hosts of Azure that the emulator serves, and its own address.
fn hosts() -> Vec<String> {
    let vaults = clouds::ALL.into_iter().flat_map(Cloud::suffixes).map(|suffix| format!("*.{suffix}"));
    let authorities = clouds::ALL.into_iter().flat_map(|cloud| cloud.authority_hosts).copied();
    let own = ["localhost", "127.0.0.1"];
    vaults.chain(authorities.chain(own).map(str::to_owned)).collect()
}

/// Returns a TLS server with a certificate of the folder's CA (`ca.pem`, `ca.key`), which is created if there is none.
///
/// # Errors
/// The CA's files cannot be read or written, its key is no private key in PEM, or the cryptographic library fails.
pub(crate) fn acceptor(dir: &Path) -> Result<TlsAcceptor, Error> {
    let issuer = issuer(dir)?;
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::new(hosts()).map_err(failed)?;
    params.use_authority_key_identifier_extension = true; // RFC 5280, section 4.2.1.1
    let certificate = params.signed_by(&key, &issuer).map_err(failed)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().and_then(
            |builder| builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key),
        );
    let mut config = config.map_err(|error| Error(error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Loads the CA, or creates it.
///
/// # Errors
/// Its files cannot be read or written, its key is no private key in PEM, or the cryptographic library fails.
fn issuer(dir: &Path) -> Result<Issuer<'static, KeyPair>, Error> {
    let (key_file, certificate_file) = (dir.join("ca.key"), dir.join("ca.pem"));
    let stored = read_if_exists(&key_file)?.filter(|_| certificate_file.exists());
    let key = match &stored {
        Some(pem) => KeyPair::from_pem(&String::from_utf8_lossy(pem)),
        None => KeyPair::generate(),
    };
    let (key, params) = (key.map_err(failed)?, ca()?);
    if stored.is_none() {
        let certificate = params.self_signed(&key).map_err(failed)?;
        write_private(&key_file, key.serialize_pem().as_bytes())?;
        fs::write(&certificate_file, certificate.pem())
            .map_err(|error| file_error(&certificate_file, error))?;
    }
    Ok(Issuer::new(params, key))
}

/// Describes the CA's certificate.
///
/// # Errors
/// The cryptographic library fails.
fn ca() -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
    params.distinguished_name.push(DnType::CommonName, "akv-emulator CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn failed(error: rcgen::Error) -> Error {
    Error(format!("no certificate: {error}"))
}
