//! Streams that are reset at once, and floods of control frames.

use super::attack::Raw;
use super::wire::{ENCRYPT, PING, RST_STREAM, SETTINGS, call_headers, encrypt, frame};
use super::{AUTHORITIES, Target, wire};

const RESETS: u32 = 100_000;
const CANCEL: [u8; 4] = 8u32.to_be_bytes();
/// The streams of one connection: as many as a client can open and reset before the daemon has handled any.
const PER_CONNECTION: u32 = 1_000;

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL)
}

#[tokio::test]
async fn a_hundred_thousand_streams_opened_and_reset_on_one_connection_are_cut_off() {
    const ENHANCE_YOUR_CALM: u32 = 11;
    let target = Target::start().await;
    for authority in AUTHORITIES {
        let pieces = wire::streams(RESETS)
            .map(|stream| [call_headers(stream, ENCRYPT, authority), reset(stream)].concat());
        let answer = target.connect().await.flood(pieces).await;
        assert_eq!(answer.goaway().expect("a GOAWAY").0, ENHANCE_YOUR_CALM, "{authority}");
        assert!(answer.is_cut, "{authority}");
        target.check_serving().await;
    }
    target.check_survived().await;
}

#[tokio::test]
async fn a_hundred_thousand_encrypts_reset_on_many_connections_cost_key_vault_few_calls() {
    let Target { vault, daemon, bystander } = Target::with(&["--health-interval=1h"]).await;
    assert!(bystander.stop().await.1.is_empty()); // its calls would be counted too
    vault.emulator.reset_stats();
    for connection in 0..RESETS / PER_CONNECTION {
        let authority = AUTHORITIES[connection as usize % 2];
        let pieces =
            wire::streams(PER_CONNECTION).map(|stream| [encrypt(stream, authority), reset(stream)].concat());
        Raw::connect(&daemon).await.flood(pieces).await;
        daemon.client().version().await.unwrap();
    }
    let calls = vault.emulator.stats().calls("encrypt");
    assert!(calls < u64::from(RESETS) / 100, "{calls}");
    daemon.client().round_trips().await.unwrap();
    super::check_memory(&daemon);
}

#[tokio::test]
async fn floods_that_ask_for_acknowledgements_or_for_nothing_hold_nobody_up() {
    let target = Target::start().await;
    let floods: [(&str, Vec<u8>); 6] = [
        ("PING", frame(PING, 0, 0, &[7; 8])),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        (
            "windows that open and close",
            frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff, 0, 4, 0, 0, 0, 0]),
        ),
        ("PRIORITY", frame(2, 0, 1, &[0, 0, 0, 3, 9])),
        ("empty DATA", frame(wire::DATA, 0, 1, &[])),
        ("frames of an unknown kind", frame(0x77, 0, 0, &[0; 64])),
    ];
    for authority in AUTHORITIES {
        for (name, flood) in &floods {
            let headers = [call_headers(1, ENCRYPT, authority)];
            let pieces = headers.into_iter().chain((0..1_000).map(|_| flood.repeat(100)));
            let answer = target.connect().await.flood(pieces).await;
            assert!(!answer.bytes.is_empty(), "{name}");
            target.check_serving().await;
        }
    }
    target.check_survived().await;
}
