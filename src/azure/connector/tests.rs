//! Calls that are faster or slower than their connections, in paused time.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::{sleep, timeout};
use tower::{ServiceExt, service_fn};

use super::*;

/// A connector whose attempts take that long each, and how many there were. A connection is the number of its attempt.
struct Slow {
    connector: Connector,
    takes: Duration,
    fails: bool,
    started: Arc<AtomicU32>,
}

impl Slow {
    fn new(seconds: u64) -> Self {
        let (connector, started) = <(Connector, Arc<AtomicU32>)>::default();
        Self { connector, takes: Duration::from_secs(seconds), fails: false, started }
    }

    /// Makes a call that waits for a connection for so long. `None` when it has not got one in time.
    async fn call(&self, seconds: u64) -> Option<Result<u32, BoxError>> {
        let (takes, fails, started) = (self.takes, self.fails, self.started.clone());
        let connect = service_fn(move |()| {
            let number = started.fetch_add(1, Ordering::SeqCst) + 1;
            async move {
                sleep(takes).await;
                if fails { Err(BoxError::from("refused")) } else { Ok(number) }
            }
        });
        timeout(Duration::from_secs(seconds), self.connector.layer(connect).oneshot(())).await.ok()
    }

    fn started(&self) -> u32 {
        self.started.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn connecting_goes_on_beyond_the_call_and_serves_the_next_one() {
    let slow = Slow::new(8);
    for _ in 0..2 {
        assert!(slow.call(3).await.is_none());
    }
    assert_eq!(slow.call(3).await.unwrap().unwrap(), 1);
    assert_eq!(slow.started(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_comes_between_two_calls_waits_for_the_second() {
    let slow = Slow::new(5);
    assert!(slow.call(3).await.is_none());
    sleep(Duration::from_secs(4)).await;
    assert_eq!(slow.call(1).await.unwrap().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_has_waited_for_too_long_is_not_used() {
    let slow = Slow::new(4);
    assert!(slow.call(3).await.is_none());
    sleep(MAX_IDLE * 2).await;
    assert_eq!(slow.call(10).await.unwrap().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_nobody_waited_for_is_not_that_of_the_next_call() {
    let mut slow = Slow::new(4);
    slow.fails = true;
    assert!(slow.call(3).await.is_none());
    sleep(Duration::from_secs(2)).await;
    slow.fails = false;
    assert_eq!(slow.call(10).await.unwrap().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_time_is_reported() {
    let mut slow = Slow::new(1);
    slow.fails = true;
    assert_eq!(slow.call(3).await.unwrap().unwrap_err().to_string(), "refused");
}

#[tokio::test(start_paused = true)]
async fn calls_at_the_same_time_have_a_connection_each() {
    let slow = Slow::new(2);
    let (first, second) = tokio::join!(slow.call(3), slow.call(3));
    assert_eq!((first.unwrap().unwrap(), second.unwrap().unwrap()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn of_many_attempts_a_few_are_kept() {
    let slow = Slow::new(20);
    let calls = (0..64).map(|_| slow.call(3));
    assert!(futures_util::future::join_all(calls).await.iter().all(Option::is_none));
    assert_eq!(slow.connector.pending().len(), MAX_PENDING);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_does_not_go_on_for_ever() {
    let slow = Slow::new(3600);
    assert!(slow.call(3).await.is_none());
    sleep(ATTEMPT_TIMEOUT).await;
    assert!(slow.call(3).await.is_none());
    assert_eq!(slow.started(), 2);
}
