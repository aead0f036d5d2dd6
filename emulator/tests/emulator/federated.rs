//! Workload identity: tokens of the cluster's issuer in exchange for tokens of Entra ID.

use akv_emulator::{Application, Federated, FederatedToken, ISSUER};
use serde_json::{Value, json};

use crate::harness::{self, Azure};
use crate::signer::{Signer, V2, present};

const SUBJECT: &str = "system:serviceaccount:kube-system:kms";
const AUDIENCE: &str = "api://AzureADTokenExchange";

fn trust(azure: &Azure, issuer: &str) {
    let known = Federated { issuer: issuer.into(), subject: SUBJECT.into(), audience: AUDIENCE.into() };
    let changes = Application { federated: Some(vec![known]), ..Application::default() };
    azure.emulator.set_application(changes).unwrap();
}

#[tokio::test]
async fn a_token_that_a_credential_matches_is_exchanged_in_later_runs_too() {
    let azure = Azure::start().await;
    trust(&azure, ISSUER);
    let issued = azure.control_ok("POST", "/federated-token", json!({ "subject": SUBJECT })).await;
    let token = issued["token"].as_str().unwrap();
    let claims = harness::claims(token);
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(ISSUER), &json!([AUDIENCE])));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);
    let azure = azure.restart().await;
    for endpoint in [V2, "oauth2/token"] {
        present(&azure, endpoint, token).await.ok();
    }
    assert_eq!(azure.emulator.stats().tokens_by_credential["federated"], 2);
}

#[tokio::test]
async fn what_no_credential_matches_is_refused_with_the_part_that_differs() {
    let azure = Azure::start().await;
    let own = FederatedToken::of(SUBJECT);
    let refusal = async |token: &FederatedToken| {
        let response = present(&azure, V2, &azure.emulator.federated_token(token).unwrap()).await;
        assert_eq!(response.json()["error"], "invalid_client");
        response.aadsts()
    };
    assert_eq!(refusal(&own).await, 70_021);
    trust(&azure, "https://oidc.emulator.test");
    assert_eq!(refusal(&own).await, 700_211);
    trust(&azure, ISSUER);
    assert_eq!(refusal(&FederatedToken::of(SUBJECT.to_uppercase())).await, 700_213);
    assert_eq!(refusal(&FederatedToken { audience: "api://other".into(), ..own.clone() }).await, 700_212);
    assert_eq!(refusal(&FederatedToken { lifetime_s: 0, ..own }).await, 700_024);
}

#[tokio::test]
async fn a_token_that_only_says_to_be_of_the_issuer_is_refused() {
    let azure = Azure::start().await;
    trust(&azure, ISSUER);
    let claims = json!({ "iss": ISSUER, "sub": SUBJECT, "aud": AUDIENCE, "exp": 4_000_000_000_u64 });
    let forged = Signer::rsa().sign(&json!({ "alg": "RS256" }), &claims);
    assert_eq!(present(&azure, V2, &forged).await.aadsts(), 50_027);
    trust(&azure, "https://elsewhere.test/");
    let claims = json!({ "iss": "https://elsewhere.test/", "sub": SUBJECT, "aud": AUDIENCE });
    let elsewhere = Signer::rsa().sign(&json!({ "alg": "RS256" }), &claims);
    assert_eq!(present(&azure, V2, &elsewhere).await.aadsts(), 90_061);
}

#[tokio::test]
async fn a_token_needs_a_subject_and_no_unknown_fields() {
    let azure = Azure::start().await;
    for body in [json!({}), json!({ "subject": SUBJECT, "issuer": "x" }), Value::Null] {
        assert_eq!(azure.control("POST", "/federated-token", body).await.status, 400);
    }
}
