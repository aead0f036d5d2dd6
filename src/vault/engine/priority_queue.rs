//! A priority queue with permits: the most urgent waiter gets the next one. Used for admission and for the rate limit.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The priority of an operation, the most urgent first: a starting API server reads before it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Priority {
    /// A decrypt of a client.
    Decrypt,
    /// An encrypt of a client.
    Encrypt,
    /// A probe of the `HealthActor`, or the warm-up of the engine.
    Probe,
}

const PRIORITIES: usize = 3;
/// The length below which a queue is not scanned for cancelled waiters.
const SHORTEST_SCAN: usize = 64;

/// A fixed number of permits: given out at once while there are any, then by priority, and in the order of arrival within
/// one priority.
pub(crate) struct PriorityQueue(Mutex<State>);

struct State {
    available: usize,
    waiters: [VecDeque<oneshot::Sender<QueuePermit>>; PRIORITIES],
    /// The lengths at which the queues are next scanned for cancelled waiters.
    scan_at: [usize; PRIORITIES],
}

/// A permit. When dropped, it goes to the next waiter.
pub(crate) struct QueuePermit(Option<Arc<PriorityQueue>>);

impl State {
    /// Removes cancelled waiters, before a permit reaches them. A scan is paid for by the growth since the last one.
    fn remove_cancelled(&mut self, priority: Priority) {
        let (waiters, scan_at) = (&mut self.waiters[priority as usize], &mut self.scan_at[priority as usize]);
        if waiters.len() >= *scan_at {
            waiters.retain(|waiter| !waiter.is_closed());
            *scan_at = (waiters.len() * 2).max(SHORTEST_SCAN);
        }
    }
}

impl PriorityQueue {
    /// Creates a queue with that number of permits.
    pub(crate) fn new(permits: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            available: permits,
            waiters: Default::default(),
            scan_at: [SHORTEST_SCAN; PRIORITIES],
        })))
    }

    /// Waits for a permit. A caller that is cancelled leaves the queue.
    pub(crate) async fn acquire(self: &Arc<Self>, priority: Priority) -> QueuePermit {
        match self.try_acquire(priority) {
            Ok(permit) => permit,
            // the sender is held by the queue, which lives as long as this call
            Err(permit) => permit.await.unwrap_or(QueuePermit(None)),
        }
    }

    /// Returns a permit if one is available, or else joins the queue.
    ///
    /// # Errors
    /// No permit is available: returns the receiver of a later one.
    fn try_acquire(
        self: &Arc<Self>,
        priority: Priority,
    ) -> Result<QueuePermit, oneshot::Receiver<QueuePermit>> {
        let mut state = self.state();
        if state.available > 0 {
            state.available -= 1;
            return Ok(QueuePermit(Some(self.clone())));
        }
        state.remove_cancelled(priority);
        let (waiter, permit) = oneshot::channel();
        state.waiters[priority as usize].push_back(waiter);
        Err(permit)
    }

    fn next_waiter(&self) -> Option<oneshot::Sender<QueuePermit>> {
        let mut state = self.state();
        let waiter = state.waiters.iter_mut().find_map(VecDeque::pop_front);
        if waiter.is_none() {
            state.available += 1;
        }
        waiter
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for QueuePermit {
    /// Gives the permit to the next waiter that is not cancelled, or else back to the queue.
    fn drop(&mut self) {
        let Some(queue) = self.0.take() else { return };
        while let Some(waiter) = queue.next_waiter() {
            match waiter.send(QueuePermit(Some(queue.clone()))) {
                Ok(()) => return,
                Err(mut unsent) => drop(unsent.0.take()), // the waiter is cancelled
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, poll};

    use super::*;

    #[tokio::test]
    async fn the_most_urgent_is_next_whoever_came_first() {
        let queue = PriorityQueue::new(1);
        let permit = queue.acquire(Priority::Probe).await;
        let mut waiting = Vec::new();
        for priority in [Priority::Probe, Priority::Encrypt, Priority::Decrypt, Priority::Decrypt] {
            let mut acquires = Box::pin(queue.acquire(priority));
            assert!(poll!(&mut acquires).is_pending());
            waiting.push(acquires);
        }
        drop(permit);
        for (index, later) in [(2, 3), (3, 1), (1, 0)] {
            let permit = waiting[index].as_mut().now_or_never().unwrap();
            assert!(poll!(&mut waiting[later]).is_pending());
            drop(permit);
        }
        assert!(waiting[0].as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_has_left_is_passed_over() {
        let queue = PriorityQueue::new(1);
        let permit = queue.acquire(Priority::Encrypt).await;
        let mut leaves = Box::pin(queue.acquire(Priority::Decrypt));
        let mut stays = Box::pin(queue.acquire(Priority::Encrypt));
        assert!(poll!(&mut leaves).is_pending() && poll!(&mut stays).is_pending());
        drop(leaves);
        drop(permit);
        assert!(stays.now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_turn_that_was_given_to_somebody_who_leaves_is_not_lost() {
        let queue = PriorityQueue::new(1);
        let permit = queue.acquire(Priority::Encrypt).await;
        let mut leaves = Box::pin(queue.acquire(Priority::Decrypt));
        assert!(poll!(&mut leaves).is_pending());
        drop(permit); // sent to a waiter that does not poll again
        drop(leaves);
        assert!(queue.acquire(Priority::Probe).now_or_never().is_some());
    }

    #[tokio::test]
    async fn those_who_left_are_not_kept() {
        let queue = PriorityQueue::new(1);
        let _permit = queue.acquire(Priority::Encrypt).await;
        let mut stays = Box::pin(queue.acquire(Priority::Encrypt));
        assert!(poll!(&mut stays).is_pending());
        for _ in 0..10_000 {
            assert!(queue.acquire(Priority::Encrypt).now_or_never().is_none());
        }
        assert!(queue.state().waiters[Priority::Encrypt as usize].len() <= SHORTEST_SCAN);
    }
}
