//! Frames of HTTP/2 (RFC 9113) and header blocks (RFC 7541) written by hand, so that they can be invalid.

use azure_kms_provider::proto::v2::EncryptRequest;
use prost::Message;

/// The fixed part of the connection preface (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;

pub(super) const VERSION: &str = "/v1beta1.KeyManagementService/Version";
pub(super) const ENCRYPT: &str = "/v2.KeyManagementService/Encrypt";

/// Returns one frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Returns the connection preface of a client, with an empty SETTINGS frame.
pub(super) fn preface() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// Returns a header as a literal without indexing. Name and value must be shorter than 127 bytes.
pub(super) fn header(name: &str, value: &[u8]) -> Vec<u8> {
    [&[0, name.len() as u8], name.as_bytes(), &[value.len() as u8], value].concat()
}

/// Returns the header block of a call.
pub(super) fn block(path: &str, authority: &str) -> Vec<u8> {
    [
        header(":method", b"POST"),
        header(":scheme", b"http"),
        header(":path", path.as_bytes()),
        header(":authority", authority.as_bytes()),
        header("content-type", b"application/grpc"),
        header("te", b"trailers"),
    ]
    .concat()
}

/// Returns the HEADERS frame of a call whose message is still to come.
pub(super) fn call_headers(stream: u32, path: &str, authority: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(path, authority))
}

/// Returns a length-prefixed gRPC message.
pub(super) fn message(content: &[u8]) -> Vec<u8> {
    [&[0][..], &(content.len() as u32).to_be_bytes(), content].concat()
}

/// Returns a whole call with that message.
pub(super) fn call(stream: u32, path: &str, authority: &str, content: &[u8]) -> Vec<u8> {
    [call_headers(stream, path, authority), frame(DATA, END_STREAM, stream, &message(content))].concat()
}

/// Returns a whole call of v2 Encrypt.
pub(super) fn encrypt(stream: u32, authority: &str) -> Vec<u8> {
    let message = EncryptRequest { plaintext: b"secret".into(), uid: "hostile".into() };
    call(stream, ENCRYPT, authority, &message.encode_to_vec())
}

/// Returns the first `count` identifiers of a client's streams.
pub(super) fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|index| index * 2 + 1)
}

/// Returns every complete frame in the bytes that a server sent: type, stream, payload.
pub(super) fn frames(mut bytes: &[u8]) -> Vec<(u8, u32, &[u8])> {
    let mut frames = Vec::new();
    while let Some((&[a, b, c, kind, _, s0, s1, s2, s3], rest)) = bytes.split_first_chunk::<9>() {
        let Some((payload, rest)) = rest.split_at_checked(u32::from_be_bytes([0, a, b, c]) as usize) else {
            break;
        };
        frames.push((kind, u32::from_be_bytes([s0, s1, s2, s3]), payload));
        bytes = rest;
    }
    frames
}
