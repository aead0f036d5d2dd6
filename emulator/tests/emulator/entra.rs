//! The token endpoints of Entra ID.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::{Azure, Response, VAULT, claims};

const V1: &str = "oauth2/token?api-version=1.0";
const V2: &str = "oauth2/v2.0/token";
const SCOPE: (&str, &str) = ("scope", "https://vault.azure.net/.default");

#[tokio::test]
async fn v2_answers_with_numbers_and_v1_with_strings() {
    let azure = Azure::start().await;
    let v2 = azure.request_token(V2, &[SCOPE]).await.ok();
    assert_eq!((&v2["expires_in"], &v2["token_type"]), (&json!(3600), &json!("Bearer")));
    let resource = "https://managedhsm.azure.net";
    let v1 = azure.request_token(V1, &[("resource", resource)]).await.ok();
    assert!(v1.as_object().unwrap().values().all(Value::is_string), "{v1}");
    assert_eq!((&v1["expires_in"], &v1["resource"]), (&json!("3600"), &json!(resource)));
    assert_eq!(claims(v1["access_token"].as_str().unwrap())["aud"], json!(resource));
}

#[tokio::test]
async fn a_token_says_who_has_it() {
    let azure = Azure::start().await;
    let claims = claims(&azure.token(VAULT).await);
    assert_eq!(claims["appid"], json!(azure.info().client_id));
    assert_eq!(claims["tid"], json!(azure.info().tenant_id));
    assert_eq!(claims["oid"], claims["sub"]);
    let groups = claims["oid"].as_str().unwrap().split('-').map(str::len);
    assert_eq!(groups.collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
}

#[tokio::test]
async fn a_secret_may_come_by_http_basic() {
    let azure = Azure::start().await;
    let info = azure.info();
    for (secret, status) in [(info.client_secret.replace('~', "%7E"), 200), ("wrong".into(), 401)] {
        let credentials = STANDARD.encode(format!("{}:{secret}", info.client_id));
        let request = azure.entra(V2, &[SCOPE]).header("authorization", format!("Basic {credentials}"));
        assert_eq!(Response::to(request).await.status, status);
    }
}

#[tokio::test]
async fn wrong_credentials_get_entra_s_error_with_its_line_breaks() {
    let azure = Azure::start().await;
    let wrong = [("client_id", azure.info().client_id.as_str()), ("client_secret", "wrong"), SCOPE];
    let response = Response::to(azure.entra(V2, &wrong)).await;
    let error = response.json();
    assert_eq!((response.status, &error["error"]), (401, &json!("invalid_client")));
    let description = error["error_description"].as_str().unwrap();
    assert!(description.starts_with("AADSTS7000215: Invalid client secret is provided.\r\nTrace ID: "));
    assert_eq!(error["error_codes"], json!([7_000_215]));
    assert_eq!(response.header("cache-control"), "no-store, no-cache");
    assert_eq!(azure.request_token(V2, &[("scope", "https://vault.azure.net")]).await.status, 400);
}
