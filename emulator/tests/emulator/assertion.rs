//! Client certificates: the assertions that they sign, at Entra ID.

use akv_emulator::testing::ClientCertificate;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::harness::{self, Azure, Response};
use crate::signer::{SCOPE, Signer, TYPE, V2, claims, now, present, register};

const V1: &str = "oauth2/token?api-version=1.0";

#[tokio::test]
async fn an_assertion_gets_a_token_at_both_endpoints() {
    let azure = Azure::start().await;
    let signer = Signer::registered(&azure);
    let mut claims = claims(&azure);
    for audience in [V2, "oauth2/token", V1] {
        claims["aud"] =
            json!(format!("https://login.microsoftonline.com/{}/{audience}", azure.info().tenant_id));
        for endpoint in [V1, V2] {
            let token = present(&azure, endpoint, &signer.sign(&signer.header(), &claims)).await.ok();
            let token = harness::claims(token["access_token"].as_str().unwrap());
            assert_eq!((&token["appid"], &token["appidacr"]), (&claims["iss"], &json!("2")));
        }
    }
    let stats = azure.emulator.stats();
    assert_eq!((stats.tokens_issued, stats.tokens_by_credential["certificate"]), (6, 6));
}

#[tokio::test]
async fn ps256_and_rs256_are_good_with_a_thumbprint_in_any_alphabet() {
    let azure = Azure::start().await;
    let signer = Signer::registered(&azure);
    for algorithm in ["PS256", "RS256"] {
        for base64 in [URL_SAFE_NO_PAD, URL_SAFE, STANDARD] {
            let header = json!({ "alg": algorithm, "typ": "JWT", "x5t": base64.encode(signer.sha1()) });
            present(&azure, V2, &signer.sign(&header, &claims(&azure))).await.ok();
        }
    }
}

#[tokio::test]
async fn a_chain_is_base64_of_der_and_begins_with_the_certificate() {
    let azure = Azure::start().await;
    let signer = Signer { certificate: ClientCertificate::issued().unwrap() };
    register(&azure, &[&signer.certificate]);
    let pem = &signer.certificate.chain_pem[0];
    let issuer: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let leaf = STANDARD.encode(signer.der());
    let of_text = STANDARD.encode(&signer.certificate.certificate_pem);
    for (chain, accepted) in [
        (json!([leaf, issuer]), true),
        (json!([leaf]), true),
        (json!([issuer, leaf]), false),
        (json!([of_text]), false),
        (json!(["?"]), false),
        (json!([]), false),
    ] {
        let mut header = signer.header();
        header["x5c"] = chain.clone();
        let response = present(&azure, V2, &signer.sign(&header, &claims(&azure))).await;
        assert_eq!(response.status, if accepted { 200 } else { 400 }, "{chain}");
        assert!(accepted || response.aadsts() == 50_027);
    }
}

#[tokio::test]
async fn claims_that_are_wrong_are_refused_with_the_code_for_it() {
    let azure = Azure::start().await;
    let signer = Signer::registered(&azure);
    let tenant = &azure.info().tenant_id;
    for (claim, value, code) in [
        ("aud", json!(format!("https://login.microsoftonline.us/{tenant}/{V2}")), 700_023),
        ("aud", json!(format!("https://login.microsoftonline.com/other/{V2}")), 700_023),
        ("aud", json!(format!("https://login.microsoftonline.com/{tenant}")), 700_023),
        ("sub", json!("other"), 700_021),
        ("iss", json!("other"), 70_021),
        ("exp", json!(now() - 1), 700_024),
        ("exp", json!(now() + 25 * 3600), 700_024),
        ("exp", Value::Null, 50_027),
        ("nbf", json!(now() + 60), 700_024),
        ("jti", Value::Null, 50_027),
    ] {
        let mut claims = claims(&azure);
        claims[claim] = value.clone();
        let response = present(&azure, V2, &signer.sign(&signer.header(), &claims)).await;
        assert_eq!(response.aadsts(), code, "{claim} {value}");
        assert_eq!(response.json()["error"] == "invalid_client", response.status == 401);
    }
    let mut lasting = claims(&azure);
    lasting["exp"] = json!(now() + 24 * 3600 - 60);
    present(&azure, V2, &signer.sign(&signer.header(), &lasting)).await.ok();
}

#[tokio::test]
async fn headers_and_signatures_that_are_wrong_are_refused_with_the_code_for_it() {
    let azure = Azure::start().await;
    let (signer, other) = (Signer::registered(&azure), Signer::rsa());
    let valid = signer.header();
    let with = |name: &str, value: Value| {
        let mut header = valid.clone();
        header[name] = value;
        header
    };
    for (assertion, code) in [
        (other.assertion(&azure), 700_027),
        (other.sign(&valid, &claims(&azure)), 700_027),
        (signer.sign(&with("x5t", json!(URL_SAFE.encode(other.sha1()))), &claims(&azure)), 700_027),
        (signer.sign(&with("alg", json!("PS384")), &claims(&azure)), 50_027),
        (signer.sign(&with("alg", json!("none")), &claims(&azure)), 50_027),
        (signer.sign(&with("x5t#S256", Value::Null), &claims(&azure)), 50_027),
        (signer.sign(&valid, &json!("no object")), 50_027),
        ("rubbish".to_owned(), 50_027),
        (String::new(), 50_027),
    ] {
        assert_eq!(present(&azure, V2, &assertion).await.aadsts(), code, "{assertion}");
    }
    let refused = present(&azure, V2, &other.assertion(&azure)).await;
    assert!(refused.text.contains("is not registered on application"), "{}", refused.text);
}

#[tokio::test]
async fn an_expired_certificate_proves_nothing() {
    let azure = Azure::start().await;
    let signer = Signer { certificate: ClientCertificate::expired().unwrap() };
    register(&azure, &[&signer.certificate]);
    let response = present(&azure, V2, &signer.assertion(&azure)).await;
    assert_eq!((response.status, response.aadsts()), (401, 700_027));
    assert!(response.text.contains("The key used is expired"), "{}", response.text);
}

#[tokio::test]
async fn while_certificates_rotate_old_and_new_are_good_and_then_the_new_one_only() {
    let azure = Azure::start().await;
    let (old, new) = (Signer::rsa(), Signer::rsa());
    register(&azure, &[&old.certificate, &new.certificate]);
    for signer in [&old, &new] {
        present(&azure, V2, &signer.assertion(&azure)).await.ok();
    }
    register(&azure, &[&new.certificate]);
    let azure = azure.restart().await;
    assert_eq!(present(&azure, V2, &old.assertion(&azure)).await.aadsts(), 700_027);
    present(&azure, V2, &new.assertion(&azure)).await.ok();
}

#[tokio::test]
async fn an_assertion_without_its_type_is_no_assertion() {
    let azure = Azure::start().await;
    let assertion = Signer::registered(&azure).assertion(&azure);
    let own = [("client_id", azure.info().client_id.as_str()), ("client_assertion", &assertion), SCOPE];
    for fields in [own.to_vec(), [&own[..], &[("client_assertion_type", &TYPE[..20])]].concat()] {
        assert_eq!(Response::to(azure.entra(V2, &fields)).await.aadsts(), 900_144);
    }
}
