//! Calls that are faster or slower than their connections, in paused time.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use tokio::time::timeout;
use tower::{ServiceExt, service_fn};

use super::attempt::TIME_LIMIT;
use super::*;

/// A destination whose attempts take the scripted times, and then the last of these. A connection is the number of its
/// attempt.
struct Slow {
    connector: Connector,
    script: Mutex<VecDeque<Result<Duration, Duration>>>,
    started: Arc<AtomicU32>,
    ended: Arc<AtomicU32>,
}

/// Counts an attempt that is over, however it ended.
struct Ends(Arc<AtomicU32>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Succeeds (`Ok`) or fails (`Err`) after so many milliseconds.
fn slow(script: &[Result<u64, u64>]) -> Slow {
    let script = script.iter().map(|step| step.map(ms).map_err(ms)).collect();
    Slow {
        connector: Connector::default(),
        script: Mutex::new(script),
        started: Arc::default(),
        ended: Arc::default(),
    }
}

impl Slow {
    /// Makes a call that waits for a connection for so long. `None` when it has not got one in time.
    async fn call(&self, millis: u64) -> Option<Result<u32, BoxError>> {
        let connect = service_fn(|()| {
            let mut script = self.script.lock().unwrap();
            let step = if script.len() > 1 { script.pop_front() } else { script.front().copied() };
            let (started, ended) = (self.started.clone(), Ends(self.ended.clone()));
            async move {
                let _ended = ended;
                let number = started.fetch_add(1, Ordering::SeqCst) + 1;
                match step.unwrap() {
                    Ok(takes) => {
                        sleep(takes).await;
                        Ok(number)
                    }
                    Err(takes) => {
                        sleep(takes).await;
                        Err(BoxError::from(format!("refused {number}")))
                    }
                }
            }
        });
        timeout(ms(millis), self.connector.layer(connect).oneshot(())).await.ok()
    }

    fn started(&self) -> u32 {
        self.started.load(Ordering::SeqCst)
    }

    /// Returns the number of attempts that go on.
    fn running(&self) -> u32 {
        self.started() - self.ended.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn connecting_goes_on_beyond_the_call_and_serves_the_next_one() {
    let slow = slow(&[Ok(8_000)]);
    for _ in 0..2 {
        assert!(slow.call(3_000).await.is_none());
    }
    assert_eq!(slow.call(3_000).await.unwrap().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_comes_between_two_calls_waits_for_the_second() {
    let slow = slow(&[Ok(5_000)]);
    assert!(slow.call(3_000).await.is_none());
    sleep(ms(3_000)).await;
    assert_eq!(slow.call(100).await.unwrap().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_has_waited_for_too_long_is_closed_and_not_used() {
    let slow = slow(&[Ok(4_000)]);
    assert!(slow.call(3_000).await.is_none());
    sleep(4 * MAX_IDLE).await;
    assert!(slow.connector.parked().is_empty());
    assert_eq!(slow.call(10_000).await.unwrap().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_holds_the_next_call_up_for_a_moment_only() {
    let slow = slow(&[Ok(3_600_000), Ok(100)]);
    assert!(slow.call(3_000).await.is_none());
    let start = tokio::time::Instant::now();
    assert_eq!(slow.call(3_000).await.unwrap().unwrap(), 2);
    assert_eq!(start.elapsed(), OWN_ATTEMPT_AFTER + ms(100));
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_an_earlier_attempt_is_not_that_of_the_call() {
    let slow = slow(&[Err(3_200), Ok(100)]);
    assert!(slow.call(3_000).await.is_none());
    assert_eq!(slow.call(3_000).await.unwrap().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_its_own_attempt_is_reported() {
    assert_eq!(slow(&[Err(1_000)]).call(3_000).await.unwrap().unwrap_err().to_string(), "refused 1");
}

#[tokio::test(start_paused = true)]
async fn calls_at_the_same_time_have_a_connection_each() {
    let slow = slow(&[Ok(2_000)]);
    let (first, second) = tokio::join!(slow.call(3_000), slow.call(3_000));
    assert_eq!((first.unwrap().unwrap(), second.unwrap().unwrap()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn of_many_attempts_the_oldest_few_go_on_and_the_others_end() {
    let slow = slow(&[Ok(8_000)]);
    for wave in 0..2 {
        assert!(join_all((0..64).map(|_| slow.call(3_000))).await.iter().all(Option::is_none));
        sleep(ms(1)).await; // for tasks to end
        assert_eq!((slow.running(), slow.connector.parked().len()), (4, MAX_PARKED), "{wave}");
    }
    let third = join_all((0..64).map(|_| slow.call(3_000))).await;
    let mut served: Vec<u32> = third.into_iter().flatten().map(Result::unwrap).collect();
    served.sort_unstable();
    assert_eq!(served.len(), MAX_PARKED, "{served:?}");
    assert!(served.iter().all(|number| *number <= 64), "they are of the first wave: {served:?}");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_does_not_go_on_for_ever() {
    let slow = slow(&[Ok(3_600_000)]);
    assert!(slow.call(3_000).await.is_none());
    sleep(TIME_LIMIT).await;
    assert_eq!(slow.running(), 0);
}
