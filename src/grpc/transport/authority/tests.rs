//! The rewriter byte for byte, with pieces of any size, against an independent decoder and with arbitrary bytes.

use loona_hpack::{Decoder, Encoder};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

type Headers = Vec<(Vec<u8>, Vec<u8>)>;

fn frame(frame_type: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend_from_slice(&[frame_type, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

fn request(authority: Option<&str>) -> Headers {
    let mut headers: Headers = vec![(b":method".into(), b"POST".into()), (b":scheme".into(), b"http".into())];
    headers.push((b":path".into(), b"/v2.KeyManagementService/Status".into()));
    if let Some(authority) = authority {
        headers.push((b":authority".into(), authority.into()));
    }
    headers.push((b"content-type".into(), b"application/grpc".into()));
    headers.push((b"te".into(), b"trailers".into()));
    headers
}

/// Sends `input` in pieces of the given sizes and returns the whole output.
fn through(input: &[u8], pieces: &[usize]) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (input, pieces) = (input.to_vec(), pieces.to_vec());
    runtime.block_on(async move {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let write = async move {
            let mut rest = &input[..];
            let mut sizes = pieces.iter().cycle();
            while !rest.is_empty() {
                let size = sizes.next().map_or(rest.len(), |size| (*size).clamp(1, rest.len()));
                client.write_all(&rest[..size]).await.unwrap();
                rest = &rest[size..];
                tokio::task::yield_now().await;
            }
        };
        let mut stream = AuthorityStream::new(server, LargeBlocks::default());
        let mut out = Vec::new();
        let read = async { stream.read_to_end(&mut out).await.unwrap() };
        tokio::join!(write, read);
        out
    })
}

/// Splits an output into the preface and frames, and decodes the header blocks with a new decoder.
fn blocks_of(bytes: &[u8]) -> Vec<(u8, u32, Headers)> {
    let mut rest = bytes.strip_prefix(PREFACE).unwrap();
    let (mut decoder, mut blocks) = (Decoder::new(), Vec::new());
    let mut collected: Option<(u8, u32, Vec<u8>)> = None;
    while rest.len() >= 9 {
        let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
        let (frame_type, flags) = (rest[3], rest[4]);
        let stream = u32::from_be_bytes([rest[5], rest[6], rest[7], rest[8]]);
        let payload = &rest[9..9 + length];
        rest = &rest[9 + length..];
        match frame_type {
            1 => {
                assert_eq!(flags & 0x8, 0, "padding is dropped");
                let priority = if flags & 0x20 != 0 { 5 } else { 0 };
                collected = Some((flags & 0x1, stream, payload[priority..].to_vec()));
            }
            9 => collected.as_mut().unwrap().2.extend_from_slice(payload),
            _ => continue,
        }
        if flags & 0x4 != 0 {
            let (is_end_stream, stream, block) = collected.take().unwrap();
            blocks.push((is_end_stream, stream, decoder.decode(&block).unwrap()));
        }
    }
    blocks
}

fn encoded(encoder: &mut Encoder<'_>, headers: &Headers) -> Vec<u8> {
    encoder.encode(headers.iter().map(|(name, value)| (&name[..], &value[..])))
}

fn connection(blocks: &[Headers]) -> Vec<u8> {
    let mut encoder = Encoder::new();
    let mut bytes = [PREFACE, SETTINGS].concat();
    for (index, headers) in blocks.iter().enumerate() {
        let stream = index as u32 * 2 + 1;
        bytes.extend(frame(1, 0x4, stream, &encoded(&mut encoder, headers)));
        bytes.extend(frame(0, 0x1, stream, b"a grpc message"));
    }
    bytes
}

fn with_localhost(mut headers: Headers) -> Headers {
    for (name, value) in &mut headers {
        if name == b":authority" {
            *value = b"localhost".to_vec();
        }
    }
    headers
}

#[test]
fn an_authority_that_h2_takes_leaves_every_byte_as_it_is() {
    for authority in [Some("localhost"), Some("@azure.sock"), Some("%2Fopt%2Fkms@azure.sock"), None] {
        let bytes = connection(&[request(authority), request(authority)]);
        assert_eq!(through(&bytes, &[7]), bytes, "{authority:?}");
    }
}

#[test]
fn an_authority_that_h2_refuses_becomes_localhost_in_every_block() {
    for authority in ["/opt/azurekms.socket", "%2Fopt%2Fazurekms.socket", "opt%2Fazurekms.socket", ""] {
        let request = request(Some(authority));
        let out = through(&connection(&[request.clone(), request.clone(), request.clone()]), &[1000]);
        let expected = with_localhost(request);
        let blocks = blocks_of(&out);
        assert_eq!(blocks.len(), 3, "{authority:?}");
        assert!(blocks.iter().all(|(_, _, headers)| *headers == expected), "{authority:?}");
    }
}

#[test]
fn trailers_get_no_authority() {
    let trailers: Headers = vec![(b"grpc-status".into(), b"0".into())];
    let out = through(&connection(&[request(Some("/x")), trailers.clone()]), &[64]);
    assert_eq!(blocks_of(&out)[1].2, trailers);
}

#[test]
fn padding_priority_and_continuations_are_understood() {
    let block = encoded(&mut Encoder::new(), &request(Some("/x")));
    let (first, rest) = block.split_at(10);
    let mut payload = vec![3, 0, 0, 0, 0, 16];
    payload.extend_from_slice(first);
    payload.extend_from_slice(&[0, 0, 0]);
    let mut bytes = [PREFACE, SETTINGS].concat();
    bytes.extend(frame(1, 0x1 | 0x8 | 0x20, 1, &payload));
    bytes.extend(frame(9, 0, 1, &rest[..5]));
    bytes.extend(frame(9, 0x4, 1, &rest[5..]));
    let out = through(&bytes, &[3]);
    assert_eq!(blocks_of(&out), [(0x1, 1, with_localhost(request(Some("/x"))))]);
    assert_eq!(&out[33 + 9..33 + 14], &[0, 0, 0, 0, 16], "the priority is kept");
}

#[test]
fn a_table_size_update_is_obeyed_and_not_passed_on() {
    let mut bytes = connection(&[]);
    let mut block = vec![0x20]; // size 0
    block.extend(request(Some("/x")).iter().flat_map(|(name, value)| {
        let mut literal = vec![0, name.len() as u8];
        literal.extend_from_slice(name);
        literal.push(value.len() as u8);
        literal.extend_from_slice(value);
        literal
    }));
    bytes.extend(frame(1, 0x5, 1, &block));
    assert_eq!(blocks_of(&through(&bytes, &[50]))[0].2, with_localhost(request(Some("/x"))));
}

#[test]
fn what_breaks_the_protocol_is_handed_on_for_h2_to_refuse() {
    let bad = encoded(&mut Encoder::new(), &request(Some("/x")));
    for broken in [
        frame(9, 0x4, 1, &bad),                                            // no HEADERS before
        [frame(1, 0, 1, &bad), frame(0, 0, 1, b"data")].concat(),          // interrupted
        [frame(1, 0, 1, &bad[..5]), frame(9, 0x4, 3, &bad[5..])].concat(), // another stream
        frame(1, 0x8 | 0x4, 1, &[200, 1, 2]),                              // padding too long
        frame(1, 0x4, 1, &[0xff; 20]),                                     // not HPACK
        frame(1, 0x4, 1, &vec![0; 20_000]),                                // longer than allowed
        [frame(1, 0, 1, &bad[..5]), frame(9, 0, 1, b"").repeat(100)].concat(), // a flood of continuations
    ] {
        let bytes = [PREFACE, SETTINGS, &broken, b"and more"].concat();
        assert_eq!(through(&bytes, &[11]), bytes);
    }
}

#[test]
fn an_end_in_the_middle_hands_on_what_came() {
    let bytes = connection(&[request(Some("/x"))]);
    for length in [0, 10, 24, 30, 33, 40, 60] {
        assert_eq!(through(&bytes[..length], &[5]), &bytes[..length]);
    }
}

fn header() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    ("[a-z][a-z0-9-]{0,30}", prop::collection::vec(any::<u8>(), 0..300))
        .prop_map(|(name, value)| (name.into_bytes(), value))
}

proptest! {
    #[test]
    fn no_other_header_ever_changes(
        lists in prop::collection::vec(prop::collection::vec(header(), 0..12), 1..6),
        pieces in prop::collection::vec(1usize..400, 1..8),
    ) {
        let requests: Vec<Headers> = lists.into_iter().map(|extra| {
            let mut headers = request(Some("%2Fopt%2Fazurekms.socket"));
            headers.extend(extra);
            headers
        }).collect();
        let out = through(&connection(&requests), &pieces);
        let seen: Vec<Headers> = blocks_of(&out).into_iter().map(|(_, _, headers)| headers).collect();
        let expected: Vec<Headers> = requests.into_iter().map(with_localhost).collect();
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_pieces_never_matter(
        noise in prop::collection::vec(any::<u8>(), 0..600),
        preface in any::<bool>(),
        pieces in prop::collection::vec(1usize..100, 1..8),
    ) {
        let bytes = if preface { [PREFACE, &noise].concat() } else { noise };
        prop_assert_eq!(through(&bytes, &pieces), through(&bytes, &[usize::MAX]));
    }

    #[test]
    fn arbitrary_header_blocks_never_panic(
        blocks in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..100)), 1..10),
        pieces in prop::collection::vec(1usize..100, 1..8),
    ) {
        let mut bytes = connection(&[request(Some("/x"))]);
        for (flags, block) in blocks {
            bytes.extend(frame(if flags & 2 == 0 { 1 } else { 9 }, flags, 3, &block));
        }
        prop_assert_eq!(through(&bytes, &pieces), through(&bytes, &[usize::MAX]));
    }
}
