//! Time without a clock: a deadline passes at any time, or never.

use std::future::{pending, poll_fn};
use std::ops::Add;
use std::task::Poll;
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::yield_now;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instant {
    AnyTime,
    Never,
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, _: Duration) -> Self {
        self
    }
}

/// Lets other threads run.
pub(crate) async fn sleep(_: Duration) {
    let mut has_slept = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_slept, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        yield_now();
        Poll::Pending
    })
    .await;
}

pub(crate) async fn sleep_until(deadline: Instant) {
    if deadline == Instant::Never {
        return pending().await;
    }
    while thread_rng().gen_range(0..16) > 0 {
        sleep(Duration::ZERO).await;
    }
}
