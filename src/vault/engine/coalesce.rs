//! Coalescing of identical operations: callers of the same operation at the same time share one execution.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::time::Instant;

/// The longest difference between the deadline of an operation and that of a caller that joins it.
const DEADLINE_TOLERANCE: Duration = Duration::from_secs(1);

type Operation<T> = Shared<BoxFuture<'static, T>>;

/// The operations in flight, by the key that identical ones have in common.
pub(crate) struct Coalescer<K, T: Clone>(Arc<Mutex<InFlight<K, T>>>);

struct InFlight<K, T: Clone> {
    started: u64,
    operations: HashMap<K, Entry<T>>,
}

struct Entry<T: Clone> {
    number: u64,
    deadline: Instant,
    operation: WeakShared<BoxFuture<'static, T>>,
}

impl<T: Clone> Entry<T> {
    fn is_joinable(&self, deadline: Instant) -> bool {
        self.deadline <= deadline + DEADLINE_TOLERANCE && deadline <= self.deadline + DEADLINE_TOLERANCE
    }
}

/// A drop guard that removes the entry of an operation when it has ended, or when its last caller is cancelled.
struct EntryGuard<K: Eq + Hash, T: Clone> {
    in_flight: Arc<Mutex<InFlight<K, T>>>,
    key: K,
    number: u64,
}

impl<K, T> Coalescer<K, T>
where
    K: Eq + Hash + Clone + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Creates a coalescer without operations.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(InFlight { started: 0, operations: HashMap::new() })))
    }

    /// Returns the outcome of the operation with that key: of the one in flight if its deadline is within
    /// [`DEADLINE_TOLERANCE`] of `deadline`, else of `start`. An operation is cancelled when its last caller is.
    pub(crate) async fn run<F>(&self, key: K, deadline: Instant, start: impl FnOnce() -> F) -> T
    where
        F: Future<Output = T> + Send + 'static,
    {
        self.join(key, deadline, start).await
    }

    fn join<F>(&self, key: K, deadline: Instant, start: impl FnOnce() -> F) -> Operation<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut in_flight = lock(&self.0);
        let entry = in_flight.operations.get(&key).filter(|entry| entry.is_joinable(deadline));
        if let Some(operation) = entry.and_then(|entry| entry.operation.upgrade()) {
            return operation;
        }
        in_flight.started += 1;
        let number = in_flight.started;
        let guard = EntryGuard { in_flight: self.0.clone(), key: key.clone(), number };
        let work = start();
        let operation = async move {
            let _guard = guard;
            work.await
        };
        let operation = operation.boxed().shared();
        if let Some(weak) = operation.downgrade() {
            in_flight.operations.insert(key, Entry { number, deadline, operation: weak });
        }
        operation
    }
}

impl<K: Eq + Hash, T: Clone> Drop for EntryGuard<K, T> {
    fn drop(&mut self) {
        let mut in_flight = lock(&self.in_flight);
        if in_flight.operations.get(&self.key).is_some_and(|entry| entry.number == self.number) {
            in_flight.operations.remove(&self.key);
        }
    }
}

fn lock<K, T: Clone>(in_flight: &Mutex<InFlight<K, T>>) -> MutexGuard<'_, InFlight<K, T>> {
    in_flight.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Notify;

    use super::*;

    struct Bench {
        coalescer: Coalescer<&'static str, u32>,
        started: Arc<AtomicU32>,
        finish: Arc<Notify>,
    }

    fn bench() -> Bench {
        Bench { coalescer: Coalescer::new(), started: Arc::default(), finish: Arc::default() }
    }

    impl Bench {
        /// Runs an operation that ends at a notification, with the number of operations started so far.
        async fn run(&self, key: &'static str, seconds: u64) -> u32 {
            let deadline = Instant::now() + Duration::from_secs(seconds);
            let (started, finish) = (self.started.clone(), self.finish.clone());
            let start = || async move {
                let number = started.fetch_add(1, Ordering::SeqCst) + 1;
                finish.notified().await;
                number
            };
            self.coalescer.run(key, deadline, start).await
        }

        fn is_empty(&self) -> bool {
            lock(&self.coalescer.0).operations.is_empty()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn identical_operations_are_one_and_others_are_not() {
        let bench = bench();
        let mut same =
            [Box::pin(bench.run("a", 3)), Box::pin(bench.run("a", 3)), Box::pin(bench.run("a", 2))];
        let mut other = Box::pin(bench.run("b", 3));
        for waiting in &mut same {
            assert!(poll!(waiting).is_pending());
        }
        assert!(poll!(&mut other).is_pending());
        assert_eq!(bench.started.load(Ordering::SeqCst), 2);
        bench.finish.notify_one();
        for waiting in same {
            assert_eq!(waiting.await, 1);
        }
        bench.finish.notify_one();
        assert_eq!(other.await, 2);
        assert!(bench.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_goes_takes_nothing_from_the_others() {
        let bench = bench();
        let mut first = Box::pin(bench.run("a", 3));
        let mut second = Box::pin(bench.run("a", 3));
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
        drop(first);
        bench.finish.notify_one();
        assert_eq!(second.await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_have_gone_the_operation_ends() {
        let bench = bench();
        let mut only = Box::pin(bench.run("a", 3));
        assert!(poll!(&mut only).is_pending());
        drop(only);
        assert!(bench.is_empty());
        let mut next = Box::pin(bench.run("a", 3));
        assert!(poll!(&mut next).is_pending());
        assert_eq!(bench.started.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_tied_to_an_operation_with_quite_another_deadline() {
        let bench = bench();
        let mut short = Box::pin(bench.run("a", 1));
        let mut long = Box::pin(bench.run("a", 3));
        assert!(poll!(&mut short).is_pending() && poll!(&mut long).is_pending());
        assert_eq!(bench.started.load(Ordering::SeqCst), 2);
        drop(short); // does not remove the other's entry
        assert!(!bench.is_empty());
    }
}
