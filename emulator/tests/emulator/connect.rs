//! The proxy for tests of HTTPS_PROXY and NO_PROXY.

use std::collections::BTreeMap;

use akv_emulator::ConnectProxy;
use reqwest::{Client, Proxy};

use crate::harness::{Azure, Response, client_builder};

async fn proxy(azure: &Azure) -> (ConnectProxy, Client) {
    let info = azure.info();
    let hosts = BTreeMap::from([(info.vault_host.to_uppercase(), info.vault_addr)]);
    let proxy = ConnectProxy::start(hosts).await.unwrap();
    let builder = client_builder(info, azure.dir.path()).proxy(Proxy::all(proxy.url()).unwrap());
    (proxy, builder.build().unwrap())
}

#[tokio::test]
async fn a_tunnel_leads_to_the_address_of_its_host_and_is_counted() {
    let azure = Azure::start().await;
    let (proxy, client) = proxy(&azure).await;
    let host = &azure.info().vault_host;
    for _ in 0..2 {
        let request = client.get(format!("https://{host}/keys?api-version=7.4"));
        assert_eq!(Response::to(request).await.status, 401);
    }
    assert_eq!(proxy.tunnels(), BTreeMap::from([(host.clone(), 1)]));
    assert!(proxy.refused().is_empty());
}

#[tokio::test]
async fn everything_else_is_refused_and_counted() {
    let azure = Azure::start().await;
    let (proxy, client) = proxy(&azure).await;
    let imds = format!("{}/metadata", azure.info().imds_url);
    assert!(client.get(format!("https://{}/x", azure.info().authority_host)).send().await.is_err());
    assert_eq!(client.get(&imds).send().await.unwrap().status().as_u16(), 403);
    let refused = [(azure.info().authority_host.clone(), 1), (format!("GET {imds}"), 1)];
    assert_eq!(proxy.refused(), BTreeMap::from(refused));
    assert!(proxy.tunnels().is_empty());
}

#[tokio::test]
async fn a_host_that_is_down_is_a_bad_gateway() {
    let azure = Azure::start().await;
    let (proxy, client) = proxy(&azure).await;
    let host = azure.info().vault_host.clone();
    azure.emulator.shutdown().await;
    assert!(client.get(format!("https://{host}/keys")).send().await.is_err());
    assert_eq!(proxy.refused(), BTreeMap::from([(host, 1)]));
}

#[tokio::test]
async fn without_the_proxy_nothing_comes_through() {
    let azure = Azure::start().await;
    let (proxy, client) = proxy(&azure).await;
    drop(proxy);
    let request = client.get(format!("https://{}/keys", azure.info().vault_host));
    assert!(request.send().await.is_err());
}
