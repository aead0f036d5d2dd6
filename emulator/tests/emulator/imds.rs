//! IMDS.

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::harness::{Azure, Response, claims};

const QUERY: &str = "api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net";

fn request(azure: &Azure, selector: &str) -> RequestBuilder {
    azure.http.get(format!("{}/metadata/identity/oauth2/token?{QUERY}{selector}", azure.info().imds_url))
}

async fn get(azure: &Azure, selector: &str) -> Response {
    Response::to(request(azure, selector).header("metadata", "true")).await
}

/// Returns the client id and the object id of the identity that gets the token.
async fn identity(azure: &Azure, selector: &str) -> (String, String) {
    let claims = claims(get(azure, selector).await.ok()["access_token"].as_str().unwrap());
    let text = |name: &str| claims[name].as_str().unwrap().to_owned();
    (text("appid"), text("oid"))
}

#[tokio::test]
async fn every_value_is_a_string() {
    let azure = Azure::start().await;
    let token = get(&azure, "").await.ok();
    assert!(token.as_object().unwrap().values().all(Value::is_string), "{token}");
    assert_eq!(
        (&token["expires_in"], &token["resource"]),
        (&json!("3600"), &json!("https://vault.azure.net"))
    );
}

#[tokio::test]
async fn an_identity_is_chosen_by_client_id_object_id_or_resource_id() {
    let azure = Azure::start().await;
    let info = azure.info();
    let user = &info.user_assigned_client_id;
    let (own, own_object) = identity(&azure, "").await;
    assert_eq!(&own, &info.system_assigned_client_id);
    let (_, object) = identity(&azure, &format!("&client_id={user}")).await;
    assert_ne!(object, own_object);
    let resource = &info.user_assigned_resource_id;
    for selector in
        [format!("object_id={object}"), format!("msi_res_id={resource}"), format!("mi_res_id={resource}")]
    {
        assert_eq!(
            identity(&azure, &format!("&{selector}")).await,
            (user.clone(), object.clone()),
            "{selector}"
        );
    }
    for selector in ["client_id", "object_id", "msi_res_id"] {
        let response = get(&azure, &format!("&{selector}=unknown")).await;
        let error = json!({ "error": "invalid_request", "error_description": "Identity not found" });
        assert_eq!((response.status, response.json()), (400, error));
    }
}

#[tokio::test]
async fn its_header_is_required_and_proxies_are_refused() {
    let azure = Azure::start().await;
    let marked = request(&azure, "").header("metadata", "true");
    for request in [request(&azure, ""), marked.header("x-forwarded-for", "10.0.0.1")] {
        let response = Response::to(request).await;
        assert_eq!((response.status, &response.json()["error"]), (400, &json!("bad_request_102")));
    }
}

#[tokio::test]
async fn throttling_says_when_to_come_again_if_that_is_set() {
    let azure = Azure::start().await;
    for (fault, retry_after) in [
        (json!({ "throttle_per_10s": 0, "retry_after_s": 7 }), "7"),
        (json!({ "throttle_per_10s": 0 }), ""),
        (json!({ "error_rate": 1, "status": 429, "retry_after_s": 9 }), "9"),
    ] {
        azure.control_ok("PUT", "/faults", json!({ "imds": fault })).await;
        let response = get(&azure, "").await;
        assert_eq!((response.status, response.header("retry-after")), (429, retry_after));
        assert_eq!(response.json()["error"], json!("too_many_requests"));
    }
    assert_eq!(azure.emulator.stats().throttled, 3);
}
