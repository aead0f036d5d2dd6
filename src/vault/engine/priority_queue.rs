//! A queue for a number of turns, the most urgent first. Stands before admission and before the rate limit.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// How urgent an operation is: reads of a starting API server first, our own health probes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Priority {
    /// A client decrypts.
    Decrypt,
    /// A client encrypts.
    Encrypt,
    /// The `HealthActor` asks.
    Probe,
}

const PRIORITIES: usize = 3;
/// A queue so short is not looked through.
const FEW: usize = 64;

/// Gives out turns: at once while there are any, then by priority, and in the order of arrival within one.
pub(crate) struct PriorityQueue(Mutex<State>);

struct State {
    free: usize,
    waiting: [VecDeque<oneshot::Sender<QueuePermit>>; PRIORITIES],
    /// At this length the queue is looked through for those who left.
    full: [usize; PRIORITIES],
}

/// One turn. Passed on to whoever is next when dropped.
pub(crate) struct QueuePermit(Option<Arc<PriorityQueue>>);

impl State {
    /// Who left is not kept until a turn comes by. Each look at all of them pays for the growth since the last.
    fn forget_who_left(&mut self, priority: Priority) {
        let (waiting, full) = (&mut self.waiting[priority as usize], &mut self.full[priority as usize]);
        if waiting.len() >= *full {
            waiting.retain(|next| !next.is_closed());
            *full = (waiting.len() * 2).max(FEW);
        }
    }
}

impl PriorityQueue {
    /// A queue for so many turns at a time.
    pub(crate) fn new(turns: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            free: turns,
            waiting: Default::default(),
            full: [FEW; PRIORITIES],
        })))
    }

    /// Waits for a turn. Whoever stops waiting leaves the queue.
    pub(crate) async fn enter(self: &Arc<Self>, priority: Priority) -> QueuePermit {
        match self.take_or_wait(priority) {
            Ok(turn) => turn,
            // the sender is held by the queue, which lives as long as this call
            Err(turn) => turn.await.unwrap_or(QueuePermit(None)),
        }
    }

    fn take_or_wait(
        self: &Arc<Self>,
        priority: Priority,
    ) -> Result<QueuePermit, oneshot::Receiver<QueuePermit>> {
        let mut state = self.state();
        if state.free > 0 {
            state.free -= 1;
            return Ok(QueuePermit(Some(self.clone())));
        }
        state.forget_who_left(priority);
        let (next, turn) = oneshot::channel();
        state.waiting[priority as usize].push_back(next);
        Err(turn)
    }

    fn next(&self) -> Option<oneshot::Sender<QueuePermit>> {
        let mut state = self.state();
        let next = state.waiting.iter_mut().find_map(VecDeque::pop_front);
        if next.is_none() {
            state.free += 1;
        }
        next
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for QueuePermit {
    /// A turn that nobody took comes back here and is offered to the next one.
    fn drop(&mut self) {
        let Some(queue) = self.0.take() else { return };
        while let Some(next) = queue.next() {
            match next.send(QueuePermit(Some(queue.clone()))) {
                Ok(()) => return,
                Err(mut refused) => drop(refused.0.take()), // who waited has left
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
        let turn = queue.enter(Priority::Probe).await;
        let mut waiting = Vec::new();
        for priority in [Priority::Probe, Priority::Encrypt, Priority::Decrypt, Priority::Decrypt] {
            let mut enters = Box::pin(queue.enter(priority));
            assert!(poll!(&mut enters).is_pending());
            waiting.push(enters);
        }
        drop(turn);
        for (index, later) in [(2, 3), (3, 1), (1, 0)] {
            let turn = waiting[index].as_mut().now_or_never().unwrap();
            assert!(poll!(&mut waiting[later]).is_pending());
            drop(turn);
        }
        assert!(waiting[0].as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_has_left_is_passed_over() {
        let queue = PriorityQueue::new(1);
        let turn = queue.enter(Priority::Encrypt).await;
        let mut leaves = Box::pin(queue.enter(Priority::Decrypt));
        let mut stays = Box::pin(queue.enter(Priority::Encrypt));
        assert!(poll!(&mut leaves).is_pending() && poll!(&mut stays).is_pending());
        drop(leaves);
        drop(turn);
        assert!(stays.now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_turn_that_was_given_to_somebody_who_leaves_is_not_lost() {
        let queue = PriorityQueue::new(1);
        let turn = queue.enter(Priority::Encrypt).await;
        let mut leaves = Box::pin(queue.enter(Priority::Decrypt));
        assert!(poll!(&mut leaves).is_pending());
        drop(turn); // given to the one who has not looked yet
        drop(leaves);
        assert!(queue.enter(Priority::Probe).now_or_never().is_some());
    }

    #[tokio::test]
    async fn those_who_left_are_not_kept() {
        let queue = PriorityQueue::new(1);
        let _turn = queue.enter(Priority::Encrypt).await;
        let mut stays = Box::pin(queue.enter(Priority::Encrypt));
        assert!(poll!(&mut stays).is_pending());
        for _ in 0..10_000 {
            assert!(queue.enter(Priority::Encrypt).now_or_never().is_none());
        }
        assert!(queue.state().waiting[Priority::Encrypt as usize].len() <= FEW);
    }
}
