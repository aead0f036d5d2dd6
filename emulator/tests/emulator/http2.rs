//! HTTP/2 beside HTTP/1.1, the same in everything else.

use std::time::{Duration, Instant};

use akv_emulator::{FaultSet, Faults};
use reqwest::{Client, Version};
use serde_json::{Value, json};

use crate::harness::{Azure, Response, VAULT, client_builder};

async fn start() -> (Azure, Client) {
    let azure = Azure::start().await;
    let http2 = client_builder(azure.info(), azure.dir.path()).no_proxy().build().unwrap();
    (azure, http2)
}

fn get(azure: &Azure, client: &Client) -> reqwest::RequestBuilder {
    client.get(format!("https://{}/keys/k8s?api-version=7.4", azure.info().vault_host))
}

fn set(azure: &Azure, vault: FaultSet) {
    azure.emulator.set_faults(Faults { vault, ..Faults::default() });
}

#[tokio::test]
async fn who_offers_http2_gets_it_and_who_does_not_gets_http_1_1() {
    let (azure, http2) = start().await;
    for (client, version, counted) in [(&azure.http, Version::HTTP_11, 0), (&http2, Version::HTTP_2, 1)] {
        let response = get(&azure, client).send().await.unwrap();
        assert_eq!((response.version(), response.status().as_u16()), (version, 401));
        assert_eq!(azure.emulator.stats().http2_requests, counted);
    }
    let token = azure.token(VAULT).await;
    Response::to(get(&azure, &http2).bearer_auth(token)).await.ok();
    assert_eq!(azure.control_ok("GET", "/stats", Value::Null).await["http2_requests"], json!(2));
}

#[tokio::test]
async fn handshakes_are_counted_and_one_is_enough_for_many_requests() {
    let (azure, http2) = start().await;
    for client in [&azure.http, &http2] {
        azure.emulator.reset_stats();
        for _ in 0..5 {
            assert_eq!(Response::to(get(&azure, client)).await.status, 401);
        }
        assert_eq!(azure.emulator.stats().tls_handshakes, 1);
    }
}

#[tokio::test]
async fn latency_and_throttling_are_the_same() {
    let (azure, http2) = start().await;
    set(&azure, FaultSet { latency_ms: 100, throttle_per_10s: Some(1), ..FaultSet::default() });
    let start = Instant::now();
    assert_eq!(Response::to(get(&azure, &http2)).await.status, 401);
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert_eq!(Response::to(get(&azure, &http2)).await.code(), "429 Throttled");
}

#[tokio::test]
async fn a_reset_ends_the_request_and_not_the_connection() {
    let (azure, http2) = start().await;
    assert_eq!(Response::to(get(&azure, &http2)).await.status, 401);
    set(&azure, FaultSet { reset_rate: 1.0, ..FaultSet::default() });
    assert!(get(&azure, &http2).send().await.is_err());
    azure.emulator.clear_faults();
    assert_eq!(Response::to(get(&azure, &http2)).await.status, 401);
    assert_eq!(azure.emulator.stats().tls_handshakes, 1);
}
