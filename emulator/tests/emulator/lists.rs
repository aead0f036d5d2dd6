//! Lists of keys and of versions.

use serde_json::{Value, json};

use crate::harness::{Azure, Response, VAULT};

/// Follows the links of a list, and returns all its items and the number of items of each page.
async fn pages(azure: &Azure, path: &str) -> (Vec<Value>, Vec<usize>) {
    let (mut items, mut sizes) = (Vec::new(), Vec::new());
    let mut next = Some(format!("https://{}{path}", azure.info().vault_host));
    while let Some(url) = next {
        let page =
            Response::to(azure.http.get(in_port(azure, &url)).bearer_auth(azure.token(VAULT).await)).await;
        let page = page.ok();
        let of_page = page["value"].as_array().unwrap().clone();
        sizes.push(of_page.len());
        items.extend(of_page);
        next = page["nextLink"].as_str().map(str::to_owned);
    }
    (items, sizes)
}

/// Replaces port 443, which the real service names in its links.
fn in_port(azure: &Azure, url: &str) -> String {
    let port = azure.info().vault_addr.port();
    url.replace(".net:443/", &format!(".net:{port}/"))
}

#[tokio::test]
async fn versions_come_in_pages_in_the_order_of_their_ids() {
    let azure = Azure::start().await;
    let mut made = azure.info().key_versions.clone();
    for _ in 0..4 {
        made.push(azure.emulator.rotate("k8s").unwrap());
    }
    let (items, sizes) = pages(&azure, "/keys/k8s/versions?api-version=7.3&maxresults=2").await;
    assert_eq!(sizes, [2, 2, 1]);
    made.sort();
    let kid = |version: &String| format!("https://emulator.vault.azure.net/keys/k8s/{version}");
    let listed: Vec<&str> = items.iter().map(|item| item["kid"].as_str().unwrap()).collect();
    assert_eq!(listed, made.iter().map(kid).collect::<Vec<_>>());
    assert!(items.iter().all(|item| item.get("key").is_none()));
}

#[tokio::test]
async fn the_link_to_the_next_page_has_the_port_and_the_last_page_has_none() {
    let azure = Azure::start().await;
    azure.emulator.rotate("k8s").unwrap();
    let first = azure.get("/keys/K8S/versions?api-version=7.3&maxresults=1").await.ok();
    let link =
        "https://emulator.vault.azure.net:443/keys/k8s/versions?api-version=7.3&$skiptoken=1&maxresults=1";
    assert_eq!(first["nextLink"], json!(link));
    let all = azure.get("/keys/k8s/versions").await.ok();
    assert_eq!((all["value"].as_array().unwrap().len(), &all["nextLink"]), (2, &Value::Null));
    for size in [0, 26] {
        let path = format!("/keys/k8s/versions?api-version=7.3&maxresults={size}");
        assert_eq!(azure.get(&path).await.code(), "400 BadParameter");
    }
}

#[tokio::test]
async fn keys_come_in_pages_too_without_version_and_with_their_tags() {
    let azure = Azure::start().await;
    azure.create("a", json!({ "kty": "RSA", "tags": { "for": "etcd" } })).await.ok();
    azure.create("b", json!({ "kty": "RSA" })).await.ok();
    let (items, sizes) = pages(&azure, "/keys?api-version=7.4&maxresults=2").await;
    assert_eq!(sizes, [2, 1]);
    let names: Vec<&str> = items.iter().map(|item| item["kid"].as_str().unwrap()).collect();
    let expected = ["a", "b", "k8s"].map(|name| format!("https://emulator.vault.azure.net/keys/{name}"));
    assert_eq!(names, expected);
    assert_eq!((&items[0]["tags"], items[1].get("tags")), (&json!({ "for": "etcd" }), None));
}
