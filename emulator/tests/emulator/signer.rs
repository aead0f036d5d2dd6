//! Client assertions, built by hand so that everything about them can be wrong.

use akv_emulator::Application;
use akv_emulator::testing::ClientCertificate;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::harness::{Azure, Response};

pub(crate) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
pub(crate) const V2: &str = "oauth2/v2.0/token";
pub(crate) const SCOPE: (&str, &str) = ("scope", "https://vault.azure.net/.default");

/// A client that signs with its certificate.
pub(crate) struct Signer {
    pub(crate) certificate: ClientCertificate,
}

impl Signer {
    pub(crate) fn rsa() -> Self {
        Self { certificate: ClientCertificate::rsa().unwrap() }
    }

    /// Returns a client whose certificate is the only one that is registered.
    pub(crate) fn registered(azure: &Azure) -> Self {
        let signer = Self::rsa();
        register(azure, &[&signer.certificate]);
        signer
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        pem_content(&self.certificate.certificate_pem)
    }

    pub(crate) fn sha1(&self) -> Vec<u8> {
        digest(&SHA1_FOR_LEGACY_USE_ONLY, &self.der()).as_ref().to_vec()
    }

    /// Returns a header as Entra ID documents it today.
    pub(crate) fn header(&self) -> Value {
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.der()));
        json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint })
    }

    /// Signs with the algorithm that the header names.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let key = RsaKeyPair::from_pkcs8(&pem_content(&self.certificate.key_pem)).unwrap();
        let encoding: &dyn RsaEncoding =
            if header["alg"] == "RS256" { &RSA_PKCS1_SHA256 } else { &RSA_PSS_SHA256 };
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(encoding, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Returns a valid assertion.
    pub(crate) fn assertion(&self, azure: &Azure) -> String {
        self.sign(&self.header(), &claims(azure))
    }
}

pub(crate) fn register(azure: &Azure, certificates: &[&ClientCertificate]) {
    let pems = certificates.iter().map(|certificate| certificate.certificate_pem.clone()).collect();
    let changes = Application { certificates: Some(pems), ..Application::default() };
    azure.emulator.set_application(changes).unwrap();
}

/// Returns valid claims for the v2 endpoint of the public cloud.
pub(crate) fn claims(azure: &Azure) -> Value {
    let (info, now) = (azure.info(), now());
    let endpoint = format!("https://{}/{}/{V2}", info.authority_host, info.tenant_id);
    json!({
        "aud": endpoint, "iss": info.client_id, "sub": info.client_id, "jti": "once", "iat": now, "nbf": now,
        "exp": now + 600,
    })
}

pub(crate) fn now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// Requests a token at that endpoint with the assertion.
pub(crate) async fn present(azure: &Azure, endpoint: &str, assertion: &str) -> Response {
    let audience = if endpoint == V2 { SCOPE } else { ("resource", "https://vault.azure.net") };
    let client = azure.info().client_id.as_str();
    let fields =
        [("client_id", client), ("client_assertion_type", TYPE), ("client_assertion", assertion), audience];
    Response::to(azure.entra(endpoint, &fields)).await
}

fn pem_content(pem: &str) -> Vec<u8> {
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    STANDARD.decode(lines.collect::<String>()).unwrap()
}
