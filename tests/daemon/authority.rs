//! Every spelling of `:authority`, through the whole daemon, with a client that sends whatever it is told.

use std::time::Duration;

use azure_kms_provider::proto::v1beta1::{VersionRequest, VersionResponse};
use loona_hpack::Encoder;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::harness::Vault;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// One call of Version by hand: RFC 9113 frames on the socket.
async fn version(socket: &std::path::Path, authority: Option<&str>) -> Vec<u8> {
    let mut headers = vec![(":method", "POST"), (":scheme", "http")];
    headers.push((":path", "/v1beta1.KeyManagementService/Version"));
    headers.extend(authority.map(|authority| (":authority", authority)));
    headers.extend([("content-type", "application/grpc"), ("te", "trailers")]);
    let block =
        Encoder::new().encode(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    let message = VersionRequest { version: "v1beta1".into() }.encode_to_vec();
    let data = [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat();
    let request = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, &[]),
        frame(1, 0x4, 1, &block),
        frame(0, 0x1, 1, &data),
    ];
    let mut stream = UnixStream::connect(socket).await.unwrap();
    stream.write_all(&request.concat()).await.unwrap();
    let mut answer = Vec::new();
    let expected = b"v1beta1";
    let read = async {
        let mut chunk = [0; 1024];
        while !answer.windows(expected.len()).any(|window| window == expected) {
            match stream.read(&mut chunk).await.unwrap() {
                0 => break,
                count => answer.extend_from_slice(&chunk[..count]),
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), read).await;
    answer
}

#[tokio::test]
async fn every_spelling_of_authority_is_served() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().listening().await;
    let answer = VersionResponse { version: "v1beta1".into(), ..Default::default() }.encode_to_vec();
    for authority in [
        Some("localhost"),
        Some("/opt/azurekms.socket"),
        Some("%2Fopt%2Fazurekms.socket"),
        Some("opt%2Fazurekms.socket"),
        Some("@azurekms"),
        Some(""),
        None,
    ] {
        let bytes = version(&daemon.socket, authority).await;
        assert!(bytes.windows(answer.len()).any(|window| window == answer), "{authority:?}: {bytes:?}");
    }
}
