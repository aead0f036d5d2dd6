//! Bytes that no KMS client sends: each costs its sender an error, and nobody else anything.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::harness::{Daemon, Vault};

/// Sends those bytes on a connection of their own, and reads until the daemon closes it.
async fn send(daemon: &Daemon, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(&daemon.socket).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    let _ = closed.expect("the connection is closed"); // with an error or without
    answer
}

/// The gRPC status of a call by path and raw body.
async fn grpc_status(daemon: &Daemon, path: &str, body: &'static [u8]) -> String {
    let stream = UnixStream::connect(&daemon.socket).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let response =
        client.send_request(request.body(Full::new(Bytes::from_static(body))).unwrap()).await.unwrap();
    response.headers()["grpc-status"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn rubbish_on_the_socket_harms_nobody_else() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let headers = |payload: &[u8]| {
        let length = (payload.len() as u32).to_be_bytes();
        [&preface[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0], &length[1..], &[1, 4, 0, 0, 0, 1], payload].concat()
    };
    for bytes in [
        b"".to_vec(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![0xff; 100_000],
        preface[..10].to_vec(),
        [&preface[..], &[0xff; 1000]].concat(),
        headers(&[0xff; 64]),
        headers(&[0x82, 0x41]),
    ] {
        send(&daemon, &bytes).await;
        daemon.client().round_trips().await.unwrap();
    }
}

#[tokio::test]
async fn unknown_methods_and_malformed_messages_have_grpc_statuses() {
    const UNIMPLEMENTED: &str = "12";
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    for path in ["/v1beta1.KeyManagementService/Nonsense", "/grpc.health.v1.Health/Check", "/"] {
        assert_eq!(grpc_status(&daemon, path, b"\0\0\0\0\0").await, UNIMPLEMENTED, "{path}");
    }
    for body in [&b"\0\0\0\0\x03\xff\xff\xff"[..], b"\0\xff\xff\xff\xff", b"\0"] {
        let status = grpc_status(&daemon, "/v2.KeyManagementService/Encrypt", body).await;
        assert_ne!(status, "0", "{body:?}");
    }
    daemon.client().round_trips().await.unwrap();
}

#[tokio::test]
async fn what_is_refused_before_it_is_understood_is_counted_and_logged() {
    let vault = Vault::start().await;
    let mut daemon = vault.daemon().arg("-v=4").healthy().await;
    daemon.client().encrypt_v2(&[1; 3_000_000]).await.unwrap_err();
    grpc_status(&daemon, "/v2.KeyManagementService/Decrypt", b"\0\0\0\0\x03\xff\xff\xff").await;
    grpc_status(&daemon, "/grpc.health.v1.Health/Check", b"\0\0\0\0\0").await;
    let metrics = daemon.metrics().await;
    for labels in [
        r#"api="v2",method="encrypt",code="INVALID_ARGUMENT""#,
        r#"api="v2",method="decrypt",code="INTERNAL""#,
        r#"api="unknown",method="unknown",code="UNIMPLEMENTED""#,
    ] {
        assert!(metrics.contains(&format!("azure_kms_requests_total{{{labels}}} 1")), "{metrics}");
    }
    for path in [
        "/v2.KeyManagementService/Encrypt",
        "/v2.KeyManagementService/Decrypt",
        "/grpc.health.v1.Health/Check",
    ] {
        daemon.logs(&format!("\"Request refused\" path=\"{path}\"")).await;
    }
    let log = daemon.log();
    assert!(log.contains("err=\"the request is longer than the limit of 131072 bytes\""), "{log}");
}

#[tokio::test]
async fn http_clients_that_send_nothing_keep_nobody_out() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    let address = daemon.healthz_addr();
    let mut idle = Vec::new();
    for _ in 0..400 {
        let stranger = tokio::net::TcpSocket::new_v4().unwrap();
        stranger.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        idle.push(stranger.connect(address.parse().unwrap()).await.unwrap());
    }
    assert_eq!(daemon.get("/livez").await.0, 200);
}
