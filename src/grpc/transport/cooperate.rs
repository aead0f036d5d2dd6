//! Gives others their turn: a task that pauses goes on only after the tasks that it started have run.
//!
//! To wake itself would not do: h2 asks for more bytes each time it hands out one call, within one and the same turn.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use tokio::task::yield_now;

/// A pause of a task.
pub(super) struct Pause(Arc<Over>);

struct Over {
    over: AtomicBool,
    task: Waker,
}

impl Wake for Over {
    fn wake(self: Arc<Self>) {
        self.over.store(true, Ordering::Relaxed);
        self.task.wake_by_ref();
    }
}

impl Pause {
    /// Starts a pause; the task is woken at its end.
    pub(super) fn start(cx: &Context<'_>) -> Self {
        let over = Arc::new(Over { over: AtomicBool::new(false), task: cx.waker().clone() });
        // the runtime keeps the waker until this turn has ended
        let _pending = pin!(yield_now()).poll(&mut Context::from_waker(&Waker::from(over.clone())));
        Self(over)
    }

    /// Whether it is over.
    pub(super) fn is_over(&self) -> bool {
        self.0.over.load(Ordering::Relaxed)
    }
}
