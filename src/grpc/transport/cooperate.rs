//! Cooperative scheduling: a task that yields continues only after the tasks that it spawned have run.
//!
//! Waking itself would not be enough: h2 asks for more bytes each time it hands out one call, within a single poll.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use tokio::task::yield_now;

/// A yield of a task to the runtime.
pub(super) struct Yield(Arc<YieldState>);

struct YieldState {
    is_done: AtomicBool,
    task: Waker,
}

impl Wake for YieldState {
    fn wake(self: Arc<Self>) {
        self.is_done.store(true, Ordering::Relaxed);
        self.task.wake_by_ref();
    }
}

impl Yield {
    /// Starts to yield; the task is woken when that is done.
    pub(super) fn start(cx: &Context<'_>) -> Self {
        let state = Arc::new(YieldState { is_done: AtomicBool::new(false), task: cx.waker().clone() });
        // the runtime defers the waker until this poll has ended
        let _pending = pin!(yield_now()).poll(&mut Context::from_waker(&Waker::from(state.clone())));
        Self(state)
    }

    /// Returns whether the task may continue.
    pub(super) fn is_done(&self) -> bool {
        self.0.is_done.load(Ordering::Relaxed)
    }
}
