//! Every way in which a connection expires, and the one in which a client may stay indefinitely.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::Semaphore;
use tokio::time::{Instant, advance, timeout};

use super::state::{CALL_TIMEOUT, CHECK_INTERVAL, DRAIN_GRACE_PERIOD, PREFACE_TIMEOUT, WRITE_STALL_TIMEOUT};
use super::*;
use crate::grpc::transport::PREFACE_LENGTH;

const PREFACE: [u8; PREFACE_LENGTH] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DAY: Duration = Duration::from_secs(86_400);

struct Fixture {
    client: DuplexStream,
    connection: Connection<DuplexStream>,
    drain: watch::Sender<bool>,
}

/// Makes a connection that accepts `capacity` bytes before its client reads.
fn fixture(capacity: usize) -> Fixture {
    let (client, server) = duplex(capacity);
    let (drain, draining) = watch::channel(false);
    let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    Fixture { client, connection: Connection::new(server, permit, draining), drain }
}

/// Makes one whose client has sent the connection preface.
async fn with_preface(capacity: usize) -> Fixture {
    let mut fixture = fixture(capacity);
    fixture.client.write_all(&PREFACE).await.unwrap();
    fixture.connection.read_exact(&mut [0; PREFACE_LENGTH]).await.unwrap();
    fixture
}

/// Returns the time until the connection is closed; `None` when it is still open a day later.
async fn ends_after(connection: &mut Connection<DuplexStream>) -> Option<Duration> {
    let start = Instant::now();
    let ended = timeout(DAY, connection.read_u8()).await.ok()?;
    assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
    Some(start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn who_does_not_say_hello_in_time_is_gone_however_much_of_it_came() {
    for part in [0, 1, PREFACE_LENGTH - 1] {
        let mut fixture = fixture(1024);
        fixture.client.write_all(&PREFACE[..part]).await.unwrap();
        fixture.connection.read_exact(&mut vec![0; part]).await.unwrap();
        assert_eq!(ends_after(&mut fixture.connection).await, Some(PREFACE_TIMEOUT), "{part}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_said_hello_may_be_silent_for_ever() {
    let mut fixture = with_preface(1024).await;
    assert_eq!(ends_after(&mut fixture.connection).await, None);
    fixture.client.write_u8(7).await.unwrap();
    assert_eq!(fixture.connection.read_u8().await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_is_not_read_from_until_it_does() {
    let mut fixture = with_preface(64).await;
    let mut cx = Context::from_waker(futures_util::task::noop_waker_ref());
    let mut write = |connection: &mut Connection<_>| Pin::new(connection).poll_write(&mut cx, &[0; 64]);
    assert!(write(&mut fixture.connection).is_ready());
    assert!(write(&mut fixture.connection).is_pending());
    fixture.client.write_u8(7).await.unwrap();
    assert!(futures_util::poll!(Box::pin(fixture.connection.read_u8())).is_pending());
    fixture.client.read_exact(&mut [0; 64]).await.unwrap();
    assert!(write(&mut fixture.connection).is_ready());
    assert_eq!(fixture.connection.read_u8().await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_for_long_is_gone() {
    let mut fixture = with_preface(64).await;
    let start = Instant::now();
    let error = fixture.connection.write_all(&[0; 100]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(
        start.elapsed() >= WRITE_STALL_TIMEOUT && start.elapsed() <= WRITE_STALL_TIMEOUT + CHECK_INTERVAL
    );
}

#[tokio::test(start_paused = true)]
async fn who_keeps_a_call_open_for_too_long_is_gone_and_who_ends_it_is_not() {
    let mut fixture = with_preface(1024).await;
    let state = fixture.connection.state();
    let kept = state.track_call();
    let ended = ends_after(&mut fixture.connection).await.unwrap();
    assert!(ended >= CALL_TIMEOUT && ended <= CALL_TIMEOUT + CHECK_INTERVAL, "{ended:?}");
    drop(kept);

    let mut fixture = with_preface(1024).await;
    let short = fixture.connection.state().track_call();
    advance(CALL_TIMEOUT / 2).await;
    drop(short);
    assert_eq!(ends_after(&mut fixture.connection).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_who_has_not_said_hello_at_once_and_who_asks_nothing_a_moment_later() {
    let mut silent = fixture(1024);
    silent.drain.send_replace(true);
    assert_eq!(ends_after(&mut silent.connection).await, Some(Duration::ZERO));

    let mut idle = with_preface(1024).await;
    idle.drain.send_replace(true);
    assert_eq!(ends_after(&mut idle.connection).await, Some(DRAIN_GRACE_PERIOD));
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_a_call_finish() {
    let mut fixture = with_preface(1024).await;
    let call = fixture.connection.state().track_call();
    fixture.drain.send_replace(true);
    assert!(timeout(DRAIN_GRACE_PERIOD * 10, fixture.connection.read_u8()).await.is_err());
    drop(call);
    assert_eq!(ends_after(&mut fixture.connection).await, Some(DRAIN_GRACE_PERIOD));
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_the_last_answer_get_through() {
    let mut fixture = with_preface(1024).await;
    let call = fixture.connection.state().track_call();
    fixture.drain.send_replace(true);
    let almost = DRAIN_GRACE_PERIOD * 3 - Duration::from_millis(1); // just before it is checked
    assert!(timeout(almost, fixture.connection.read_u8()).await.is_err());
    drop(call);
    let ended = ends_after(&mut fixture.connection).await.unwrap();
    assert!(ended >= DRAIN_GRACE_PERIOD && ended <= DRAIN_GRACE_PERIOD * 2, "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_gets_its_turn_before_more_is_read() {
    let mut fixture = with_preface(2 * READ_QUANTUM).await;
    fixture.client.write_all(&vec![0; READ_QUANTUM + 1]).await.unwrap();
    let mut other = tokio::spawn(std::future::ready(()));
    fixture.connection.read_exact(&mut vec![0; READ_QUANTUM - PREFACE_LENGTH]).await.unwrap();
    assert!(futures_util::poll!(Box::pin(fixture.connection.read_u8())).is_pending());
    assert!(futures_util::poll!(&mut other).is_pending(), "no other task was scheduled yet");
    fixture.connection.read_u8().await.unwrap();
    assert!(other.is_finished());
}
