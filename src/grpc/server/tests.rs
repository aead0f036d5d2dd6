//! The whole server over a connection in memory: who may stay, and who is found to be gone.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep};

use super::*;
use crate::benchmark::{CallPath, backend};

const DAY: Duration = Duration::from_secs(86_400);

/// The client's end of a connection that is served until the test ends.
fn served() -> DuplexStream {
    let (client, server) = duplex(64 * 1024);
    let connections = stream::iter([(server, Peer::default())]).chain(stream::pending());
    let backend = backend(CallPath::Direct).0;
    let most_calls = most_calls(&backend);
    let calls = calls(backend, AuditLog::default());
    tokio::spawn(serve_all(connections, calls, most_calls, std::future::pending()));
    client
}

async fn version(client: &mut SendRequest<Full<Bytes>>) {
    let request = Request::post("http://localhost/v1beta1.KeyManagementService/Version")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(b"\0\0\0\0\0")));
    let answer = client.send_request(request.unwrap()).await.unwrap();
    assert!(!answer.headers().contains_key("grpc-status"), "{answer:?}"); // it is in the trailers of a success
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_pings_may_be_idle_for_days() {
    let (mut client, connection) = handshake(TokioExecutor::new(), TokioIo::new(served())).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        version(&mut client).await;
        sleep(DAY).await;
    }
    version(&mut client).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_no_ping_is_gone() {
    let mut client = served();
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let start = Instant::now();
    client.read_to_end(&mut Vec::new()).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), (PING_AFTER + PING_TIMEOUT).as_secs());
}
