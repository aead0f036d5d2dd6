//! Header blocks and frames of excessive size.

use super::wire::{CONTINUATION, END_HEADERS, HEADERS, block, frame, header};
use super::{AUTHORITIES, Target, open_many_files, wire};

/// The longest payload of a frame, in bytes.
const FULL: usize = 16_384;

/// Returns headers that fill a frame.
fn filler() -> Vec<u8> {
    std::iter::repeat_n(header("x-filler", &[b'x'; 120]), FULL / 131).flatten().collect()
}

/// Returns the first frame of a header block that does not end.
fn beginning(authority: &str) -> Vec<u8> {
    frame(HEADERS, 0, 1, &block(wire::VERSION, authority))
}

#[tokio::test]
async fn a_header_block_of_16_mib_is_refused_by_name() {
    let target = Target::start().await;
    for authority in AUTHORITIES {
        let middle = std::iter::repeat_with(|| frame(CONTINUATION, 0, 1, &filler())).take(1_024);
        let end = [frame(CONTINUATION, END_HEADERS, 1, &filler())];
        let pieces = [beginning(authority)].into_iter().chain(middle).chain(end);
        let answer = target.connect().await.flood(pieces).await;
        let (code, text) = answer.goaway().expect("a GOAWAY");
        assert!(answer.is_cut && code != 0, "{authority}: {code} {text}");
        target.check_serving().await;
    }
    target.check_survived().await;
}

#[tokio::test]
async fn a_frame_of_16_mib_is_refused_by_name() {
    const FRAME_SIZE_ERROR: u32 = 6;
    let target = Target::start().await;
    for kind in [wire::DATA, HEADERS, wire::SETTINGS, wire::PING, CONTINUATION, 0x77] {
        let start = [&[0xff, 0xff, 0xff, kind, 0x4], &1u32.to_be_bytes()[..]].concat();
        let pieces = [start].into_iter().chain(std::iter::repeat_with(filler).take(1_024));
        let answer = target.connect().await.flood(pieces).await;
        assert_eq!(answer.goaway().map(|(code, _)| code), Some(FRAME_SIZE_ERROR), "{kind}");
    }
    target.check_survived().await;
}

#[tokio::test]
async fn continuations_without_end_are_cut_off_whether_they_are_empty_or_full() {
    let target = Target::start().await;
    for authority in AUTHORITIES {
        for payload in [Vec::new(), b"x".to_vec(), filler()] {
            let endless = std::iter::repeat_with(|| frame(CONTINUATION, 0, 1, &payload)).take(100_000);
            let answer =
                target.connect().await.flood([beginning(authority)].into_iter().chain(endless)).await;
            assert!(answer.is_cut && answer.goaway().is_some_and(|(code, _)| code != 0), "{authority}");
            target.check_serving().await;
        }
    }
    target.check_survived().await;
}

#[tokio::test]
async fn a_small_block_that_unpacks_to_a_large_one_is_refused() {
    let target = Target::start().await;
    for authority in AUTHORITIES {
        // the table's newest entry, 4,000 bytes long, thousands of times
        let entry = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'x'; 4_000]].concat();
        let bomb = [block(wire::VERSION, authority), entry, vec![0x80 | 62; 10_000]].concat();
        let calls = wire::streams(50).map(|stream| frame(HEADERS, 0x5, stream, &bomb));
        let answer = target.connect().await.flood(calls).await;
        assert!(!answer.bytes.is_empty(), "{authority}");
        target.check_serving().await;
    }
    target.check_survived().await;
}

#[tokio::test]
async fn unfinished_header_blocks_on_a_thousand_connections_cost_little() {
    open_many_files();
    let target = Target::start().await;
    for authority in AUTHORITIES {
        let mut held = target.connect_many(500).await;
        for raw in &mut held {
            let rest = filler();
            raw.send(&beginning(authority)).await;
            raw.send(&frame(CONTINUATION, 0, 1, &rest)[..rest.len()]).await;
        }
        target.check_serving().await;
    }
    target.check_survived().await;
}
