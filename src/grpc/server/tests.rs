//! The whole server over a connection in memory: which idle clients stay connected, and which are disconnected.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep};

use super::*;
use crate::benchmark::{CallPath, backend};

const DAY: Duration = Duration::from_secs(86_400);

/// Returns the client's end of a connection that is served until the test ends.
fn connect() -> DuplexStream {
    let (client, server) = duplex(64 * 1024);
    let connections = stream::iter([(server, Peer::default())]).chain(stream::pending());
    let backend = backend(CallPath::Direct).0;
    let max_calls = max_calls_of(&backend);
    let service = service_stack(backend, AuditLog::default());
    tokio::spawn(serve_all(connections, service, max_calls, std::future::pending()));
    client
}

async fn version(client: &mut SendRequest<Full<Bytes>>) {
    let request = Request::post("http://localhost/v1beta1.KeyManagementService/Version")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(b"\0\0\0\0\0")));
    let response = client.send_request(request.unwrap()).await.unwrap();
    assert!(!response.headers().contains_key("grpc-status"), "{response:?}"); // a success has it in the trailers
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_pings_may_be_idle_for_days() {
    let (mut client, connection) = handshake(TokioExecutor::new(), TokioIo::new(connect())).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        version(&mut client).await;
        sleep(DAY).await;
    }
    version(&mut client).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_no_ping_is_gone() {
    let mut client = connect();
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let start = Instant::now();
    client.read_to_end(&mut Vec::new()).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), (KEEPALIVE_INTERVAL + KEEPALIVE_TIMEOUT).as_secs());
}
