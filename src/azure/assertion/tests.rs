//! What an assertion holds. That others can verify it is for `interop/python` to prove.

use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};

use super::*;
use crate::config::{Access, CredentialConfig, Proof};

fn principal() -> (ServicePrincipal, ClientCertificate) {
    let certificate = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificates/chain.pem");
    let json = format!(r#"{{"tenantId":"t","aadClientId":"c","aadClientCertPath":"{certificate}"}}"#);
    let CredentialConfig::ServicePrincipal(principal) = Access::of_azure_json(&json).credential else {
        panic!("not a service principal")
    };
    let Proof::Certificate(certificate) = principal.proof.clone() else { panic!("not a certificate") };
    (principal, certificate)
}

fn signed(config: AssertionConfig, algorithm: &'static dyn VerificationAlgorithm) -> (Value, Value) {
    let (principal, certificate) = principal();
    let public = certificate.key.public_key().as_ref().to_vec();
    let at = UNIX_EPOCH + Duration::from_secs(1_000_000);
    let jwt = CertificateAssertion::new(&principal, certificate, config).sign(at).unwrap();
    let (message, signature) = jwt.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(algorithm, public).verify(message.as_bytes(), &signature).unwrap();
    let part = |text: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    (part(header), part(claims))
}

#[test]
fn by_default_it_is_ps256_with_a_sha_256_thumbprint_and_no_chain() {
    let config = AssertionConfig { is_rs256: false, has_chain: false };
    let (header, claims) = signed(config, &RSA_PSS_2048_8192_SHA256);
    assert_eq!((&header["alg"], &header["typ"]), (&"PS256".into(), &"JWT".into()));
    assert_eq!(header["x5t#S256"].as_str().unwrap().len(), 43);
    assert!(header["x5t"].is_null() && header["x5c"].is_null());
    assert_eq!(claims["aud"], "https://login.microsoftonline.com/t/oauth2/v2.0/token");
    assert_eq!((&claims["iss"], &claims["sub"]), (&"c".into(), &"c".into()));
    assert_eq!((&claims["nbf"], &claims["exp"]), (&1_000_000.into(), &1_000_600.into()));
    assert!(!claims["jti"].as_str().unwrap().is_empty());
}

#[test]
fn when_asked_it_is_rs256_with_a_sha_1_thumbprint_and_the_chain() {
    let config = AssertionConfig { is_rs256: true, has_chain: true };
    let (header, _) = signed(config, &RSA_PKCS1_2048_8192_SHA256);
    assert_eq!((&header["alg"], header["x5t"].as_str().unwrap().len()), (&"RS256".into(), 27));
    let (_, certificate) = principal();
    let chain: Vec<_> = header["x5c"].as_array().unwrap().iter().map(|der| der.as_str().unwrap()).collect();
    assert_eq!(chain, [STANDARD.encode(&certificate.chain[0]), STANDARD.encode(&certificate.chain[1])]);
}

#[test]
fn no_two_assertions_have_the_same_id() {
    let config = AssertionConfig { is_rs256: false, has_chain: false };
    let id = || signed(config, &RSA_PSS_2048_8192_SHA256).1["jti"].clone();
    assert_ne!(id(), id());
}

#[tokio::test]
async fn a_token_file_is_read_anew_each_time_and_trimmed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let assertion = FileAssertion::new(path.clone());
    for token in ["first", "second"] {
        std::fs::write(&path, format!(" {token}\n")).unwrap();
        assert_eq!(assertion.secret(None).await.unwrap(), token);
    }
    std::fs::write(&path, "\n").unwrap();
    assert!(assertion.secret(None).await.is_err());
}
