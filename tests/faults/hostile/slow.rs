//! Clients that write slowly or stop in the middle, and clients that do not read.

use std::convert::Infallible;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::Request;
use hyper::body::{Bytes, Frame};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use super::attack::{Raw, http2};
use super::wire::{ENCRYPT, SETTINGS, VERSION, call_headers, encrypt, frame, preface};
use super::{AUTHORITIES, Target, open_many_files, wire};

#[tokio::test]
async fn a_request_that_comes_byte_by_byte_is_served() {
    let target = Target::start().await;
    for authority in AUTHORITIES {
        let mut raw = Raw::silent(&target.daemon).await;
        for byte in [preface(), wire::call(1, VERSION, authority, b"")].concat() {
            raw.send(&[byte]).await;
            tokio::task::yield_now().await;
        }
        raw.until(b"v1beta1").await;
    }
    target.check_survived().await;
}

#[tokio::test]
async fn requests_that_stop_in_the_middle_on_a_thousand_connections_cost_little() {
    open_many_files();
    let target = Target::start().await;
    let mut held = target.connect_many(1_000).await;
    for (index, raw) in held.iter_mut().enumerate() {
        let request = encrypt(1, AUTHORITIES[index % 2]);
        raw.send(&request[..index % request.len()]).await;
    }
    target.check_serving().await;
    drop(held);
    target.check_survived().await;
}

#[tokio::test]
async fn half_open_streams_by_the_thousand_keep_nobody_out() {
    let target = Target::start().await;
    for authority in AUTHORITIES {
        let mut held = target.connect_many(10).await;
        for raw in &mut held {
            let half_open: Vec<u8> =
                wire::streams(1_000).flat_map(|stream| call_headers(stream, ENCRYPT, authority)).collect();
            raw.send(&half_open).await;
        }
        target.check_serving().await;
    }
    target.check_survived().await;
}

#[tokio::test]
async fn messages_that_stop_before_their_end_are_not_kept_by_the_thousand() {
    let target = Target::start().await;
    let mut held = Vec::new();
    let mut calls = JoinSet::new();
    for _ in 0..5 {
        let client = http2(&target.daemon).await;
        for _ in 0..200 {
            calls.spawn(client.clone().send_request(unfinished()));
        }
        held.push(client);
    }
    let refused = calls.join_next().await.unwrap().unwrap().unwrap();
    let status = Status::from_header_map(refused.headers()).unwrap();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("bytes"), "{status:?}");
    target.check_serving().await;
    drop((held, calls));
    target.check_survived().await;
}

/// Returns a call whose message of 120,000 bytes lacks the last one.
fn unfinished() -> Request<BoxBody<Bytes, Infallible>> {
    let message = [&[0][..], &119_996u32.to_be_bytes(), &[b'x'; 119_995]].concat();
    let part = stream::iter([Ok(Frame::data(Bytes::from(message)))]).chain(stream::pending());
    let request = Request::post(format!("http://localhost{ENCRYPT}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    request.body(BodyExt::boxed(StreamBody::new(part))).unwrap()
}

#[tokio::test]
async fn clients_that_never_read_are_not_read_from_either() {
    let target = Target::start().await;
    for authority in AUTHORITIES {
        let calls = wire::streams(20_000).flat_map(|stream| wire::call(stream, VERSION, authority, b""));
        let calls: Arc<[u8]> = calls.collect();
        let mut pushing = JoinSet::new();
        for raw in target.connect_many(50).await {
            pushing.spawn(raw.push(calls.clone()));
        }
        target.check_serving().await;
        assert!(pushing.try_join_next().is_none(), "all was taken");
    }
    target.check_survived().await;
}

#[tokio::test]
async fn clients_that_never_open_their_window_keep_nobody_out() {
    let target = Target::start().await;
    let closed = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    for authority in AUTHORITIES {
        let mut held = target.connect_many(10).await;
        for raw in &mut held {
            let calls: Vec<u8> =
                wire::streams(1_000).flat_map(|stream| wire::call(stream, VERSION, authority, b"")).collect();
            raw.send(&[&closed[..], &calls].concat()).await;
        }
        target.check_serving().await;
    }
    target.check_survived().await;
}
