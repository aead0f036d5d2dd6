//! More calls than the daemon can serve.

use akv_emulator::{FaultSet, Faults};
use azure_kms_provider::proto::v2::EncryptRequest;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use prost::Message;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use super::Target;
use super::attack::http2;
use super::wire::{ENCRYPT, message};

const CALLS: usize = 10_000;
const CONNECTIONS: usize = 10;
/// The calls that are admitted: 64 run and 1,000 wait.
const ADMITTED: usize = 1_064;

/// Returns a call of v2 Encrypt with a deadline that is never reached. The client does not end it.
fn encrypt() -> hyper::Request<Full<Bytes>> {
    let body = message(&EncryptRequest { plaintext: b"x".to_vec(), uid: "many".into() }.encode_to_vec());
    hyper::Request::post(format!("http://localhost{ENCRYPT}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "60S")
        .body(Full::new(Bytes::from(body)))
        .unwrap()
}

/// Returns the status of a call: from its trailers, or from its headers if it has no message.
async fn status(answer: hyper::Response<Incoming>) -> Status {
    match Status::from_header_map(answer.headers()) {
        Some(status) => status,
        None => {
            Status::from_header_map(answer.into_body().collect().await.unwrap().trailers().unwrap()).unwrap()
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_thousand_calls_at_once_64_run_1000_wait_and_the_rest_is_refused_at_once() {
    let Target { vault, daemon, bystander } = Target::with(&["--health-interval=1h"]).await;
    assert!(bystander.stop().await.1.is_empty()); // its Encrypt would be one of those that are refused
    let slow = FaultSet { latency_ms: 15_000, ..FaultSet::default() };
    vault.emulator.set_faults(Faults { vault: slow, ..Faults::default() });
    let mut calls = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let client = http2(&daemon).await;
        for _ in 0..CALLS / CONNECTIONS {
            let mut client = client.clone();
            calls.spawn(async move { status(client.send_request(encrypt()).await.unwrap()).await });
        }
    }
    for _ in 0..CALLS - ADMITTED {
        let refused = calls.join_next().await.unwrap().unwrap();
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
        let is_clear =
            ["the queue is full", "calls are open"].iter().any(|text| refused.message().contains(text));
        assert!(is_clear, "{}", refused.message());
    }
    let metrics = daemon.metrics().await;
    for line in ["azure_kms_requests_queued 1000", "azure_kms_requests_in_flight 64"] {
        assert!(metrics.contains(line), "{metrics}");
    }
    let mut other = daemon.client();
    assert_eq!(other.version().await.unwrap().version, "v1beta1");
    assert_eq!(other.status().await.unwrap().healthz, "ok");
    vault.emulator.clear_faults(); // those that run have their latency already
    while let Some(call) = calls.join_next().await {
        assert_eq!(call.unwrap().code(), Code::Ok);
    }
    other.round_trips().await.unwrap();
    super::check_memory(&daemon);
}

#[tokio::test]
async fn ten_thousand_calls_of_methods_that_do_not_exist_are_unimplemented_and_say_so() {
    let target = Target::start().await;
    let client = http2(&target.daemon).await;
    let mut calls = JoinSet::new();
    for call in 0..CALLS {
        let path = ["/v2.KeyManagementService/Nonsense", "/grpc.health.v1.Health/Check"][call % 2];
        let request = hyper::Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(Bytes::from_static(b"\0\0\0\0\0")));
        calls.spawn(client.clone().send_request(request.unwrap()));
    }
    while let Some(call) = calls.join_next().await {
        let response = call.unwrap().unwrap();
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!(status.code(), Code::Unimplemented);
        assert!(status.message().contains("no such method"), "{status:?}");
    }
    target.check_survived().await;
}
