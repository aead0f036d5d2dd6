//! The application in Entra ID: its secrets, and changes to its credentials.

use akv_emulator::testing::ClientCertificate;
use akv_emulator::{Application, ClientSecret};
use serde_json::{Value, json};

use crate::harness::{Azure, Response};
use crate::signer::{SCOPE, V2, now};

async fn with_secret(azure: &Azure, secret: &str) -> Response {
    let client = azure.info().client_id.as_str();
    Response::to(azure.entra(V2, &[("client_id", client), ("client_secret", secret), SCOPE])).await
}

#[tokio::test]
async fn several_secrets_are_good_at_once_until_they_are_replaced_or_end() {
    let azure = Azure::start().await;
    let first = azure.info().client_secret.clone();
    let secrets = json!({ "client_secrets": [first, "next", { "value": "old", "expires": now() - 1 }, { "value": "new", "expires": now() + 600 }] });
    azure.control_ok("PUT", "/application", secrets).await;
    for accepted in [first.as_str(), "next", "new"] {
        with_secret(&azure, accepted).await.ok();
    }
    let expired = with_secret(&azure, "old").await;
    assert_eq!((expired.status, expired.aadsts()), (401, 7_000_222));
    let next =
        Application { client_secrets: Some(vec![ClientSecret::from("next")]), ..Application::default() };
    azure.emulator.set_application(next).unwrap();
    assert_eq!(with_secret(&azure, &first).await.aadsts(), 7_000_215);
    let azure = azure.restart().await;
    assert_eq!(azure.info().client_secret, "next");
    with_secret(&azure, "next").await.ok();
}

#[tokio::test]
async fn what_is_absent_stays_and_what_is_refused_changes_nothing() {
    let azure = Azure::start().await;
    let (secret, ec) = (azure.info().client_secret.clone(), ClientCertificate::ec().unwrap());
    azure.control_ok("PUT", "/application", json!({ "certificates": [], "federated": [] })).await;
    for (body, reason) in [
        (json!({ "client_secrets": [], "secrets": [] }), "unknown field `secrets`"),
        (json!({ "client_secrets": [{ "value": "x", "until": 1 }] }), "did not match"),
        (json!({ "client_secrets": [], "certificates": ["x"] }), "certificates[0]: no PEM of a certificate"),
        (
            json!({ "client_secrets": [], "certificates": [ec.certificate_pem] }),
            "certificates[0]: its key is not RSA",
        ),
        (json!({ "client_secrets": [], "federated": [{ "issuer": "x" }] }), "missing field `subject`"),
    ] {
        let response = azure.control("PUT", "/application", body.clone()).await;
        assert_eq!(response.status, 400, "{body}");
        assert!(response.json()["error"].as_str().unwrap().contains(reason), "{}", response.text);
    }
    with_secret(&azure, &secret).await.ok();
}

#[tokio::test]
async fn tenants_clients_and_resources_that_do_not_exist_have_codes_of_their_own() {
    let azure = Azure::start().await;
    let info = azure.info();
    let own = [("client_id", info.client_id.as_str()), ("client_secret", &info.client_secret)];
    let at = |tenant: &str, fields: &[(&str, &str)]| {
        let url = format!("https://{}/{tenant}/{V2}", info.authority_host);
        let all = [&[("grant_type", "client_credentials")], fields].concat();
        let form: Vec<_> = all.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = azure.http.post(url).header("content-type", "application/x-www-form-urlencoded");
        Response::to(request.body(form.join("&")))
    };
    let with = |more: (&'static str, &'static str)| [own[0], own[1], more];
    let other = "00000000-0000-4000-a000-000000000000";
    assert_eq!(at(other, &with(SCOPE)).await.aadsts(), 90_002);
    assert_eq!(at("contoso.onmicrosoft.com", &with(SCOPE)).await.aadsts(), 90_002);
    assert_eq!(at("contoso", &with(SCOPE)).await.aadsts(), 900_023);
    assert_eq!(at(&info.tenant_id, &[("client_id", other), own[1], SCOPE]).await.aadsts(), 700_016);
    assert_eq!(at(&info.tenant_id, &[own[0], SCOPE]).await.aadsts(), 7_000_218);
    let foreign = at(&info.tenant_id, &with(("scope", "https://vault.azure.cn/.default"))).await;
    assert_eq!((foreign.aadsts(), &foreign.json()["error"]), (500_011, &json!("invalid_resource")));
    assert_eq!(at(&info.tenant_id, &with(("scope", "vault"))).await.aadsts(), 70_011);
    assert_eq!(azure.control_ok("GET", "/stats", Value::Null).await["tokens_issued"], json!(0));
}
