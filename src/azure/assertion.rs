//! What stands in for a client secret: a signed assertion (RFC 7523), made with a client certificate or read from the
//! file of a workload identity.
//!
//! Entra ID's format: learn.microsoft.com, "Microsoft identity platform application authentication certificate
//! credentials".

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256};
use azure_core::error::ErrorKind;
use azure_core::http::ClientMethodOptions;
use azure_identity::ClientAssertion;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::identity_transport::IssuerError;
use crate::config::{AssertionConfig, ClientCertificate, ServicePrincipal, read_file};
use crate::kms::Code;
use crate::vault::TokenError;

/// How long an assertion is valid: Entra ID asks for 5 to 10 minutes.
const LIFETIME: Duration = Duration::from_secs(600);

/// Signs a new assertion for each token.
pub(super) struct CertificateAssertion {
    certificate: ClientCertificate,
    client_id: String,
    audience: String,
    config: AssertionConfig,
}

impl CertificateAssertion {
    pub(super) fn new(
        principal: &ServicePrincipal,
        certificate: ClientCertificate,
        config: AssertionConfig,
    ) -> Self {
        let (host, tenant) = (&principal.authority_host, &principal.tenant_id);
        let audience = format!("https://{host}/{tenant}/oauth2/v2.0/token");
        Self { certificate, client_id: principal.client_id.clone(), audience, config }
    }

    fn header(&self) -> Value {
        let own = &self.certificate.chain[0];
        let mut header = match self.config.is_rs256 {
            true => {
                json!({ "alg": "RS256", "typ": "JWT", "x5t": thumbprint(&SHA1_FOR_LEGACY_USE_ONLY, own) })
            }
            false => json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint(&SHA256, own) }),
        };
        if self.config.has_chain || self.certificate.is_chain_needed {
            header["x5c"] = self.certificate.chain.iter().map(|der| STANDARD.encode(der)).collect();
        }
        header
    }

    fn claims(&self, now: SystemTime) -> Result<Value, &'static str> {
        let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut id = [0; 16];
        aws_lc_rs::rand::fill(&mut id).map_err(|_| "no random bytes")?;
        Ok(json!({
            "aud": self.audience,
            "iss": self.client_id,
            "sub": self.client_id,
            "jti": URL_SAFE_NO_PAD.encode(id),
            "iat": seconds(now),
            "nbf": seconds(now),
            "exp": seconds(now + LIFETIME),
        }))
    }

    /// The assertion, as a JWT (RFC 7519).
    fn sign(&self, now: SystemTime) -> Result<String, &'static str> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&self.header()), part(&self.claims(now)?));
        let algorithm = if self.config.is_rs256 { &RSA_PKCS1_SHA256 } else { &RSA_PSS_SHA256 };
        let key = &self.certificate.key;
        let mut signature = vec![0; key.public_modulus_len()];
        let signed = key.sign(algorithm, &SystemRandom::new(), message.as_bytes(), &mut signature);
        signed.map_err(|_| "the certificate's key cannot sign")?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn thumbprint(algorithm: &'static aws_lc_rs::digest::Algorithm, der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(algorithm, der))
}

impl fmt::Debug for CertificateAssertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAssertion").finish_non_exhaustive()
    }
}

#[async_trait]
impl ClientAssertion for CertificateAssertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        self.sign(SystemTime::now()).map_err(|problem| refusal(problem.to_owned()))
    }
}

/// Reads the file for each token: kubelet writes a new one every hour or so.
pub(super) struct FileAssertion(PathBuf);

impl FileAssertion {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }
}

impl fmt::Debug for FileAssertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileAssertion").finish_non_exhaustive()
    }
}

#[async_trait]
impl ClientAssertion for FileAssertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let named =
            |problem: String| refusal(format!("the federated token file {}: {problem}", self.0.display()));
        let path = self.0.clone();
        let content = spawn_blocking(move || read_file(&path)).await; // its disk may be slow
        let content = content.map_err(|_| named("cannot be read".into()))?.map_err(named)?;
        match std::str::from_utf8(&content).map(str::trim) {
            Ok("") => Err(named("is empty".into())),
            Ok(token) => Ok(token.to_owned()),
            Err(_) => Err(named("is not text".into())),
        }
    }
}

fn refusal(message: String) -> azure_core::Error {
    let error = TokenError::new(Code::Unauthenticated, "token/assertion", message);
    azure_core::Error::new(ErrorKind::Credential, IssuerError(error))
}

#[cfg(test)]
mod tests;
