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
    deadlines: Arc<Deadlines>,
    operation: WeakShared<BoxFuture<'static, T>>,
}

/// The deadline of an operation, and the latest one of its callers.
struct Deadlines {
    operation: Instant,
    latest: Mutex<Instant>,
}

impl Deadlines {
    fn new(deadline: Instant) -> Arc<Self> {
        Arc::new(Self { operation: deadline, latest: Mutex::new(deadline) })
    }

    fn is_joinable(&self, deadline: Instant) -> bool {
        self.operation <= deadline + DEADLINE_TOLERANCE && deadline <= self.operation + DEADLINE_TOLERANCE
    }

    fn add(&self, deadline: Instant) {
        let mut latest = lock(&self.latest);
        *latest = deadline.max(*latest);
    }

    fn latest(&self) -> Instant {
        *lock(&self.latest)
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
    /// [`DEADLINE_TOLERANCE`] of `deadline`, else of `start`, which is given the deadline of the operation. An operation is
    /// cancelled when its last caller is.
    ///
    /// A caller that joined an operation with an earlier deadline goes on after an outcome that is `out_of_time`. All such
    /// callers share one further operation, with the latest of their deadlines.
    pub(crate) async fn run<F>(
        &self,
        key: K,
        deadline: Instant,
        start: impl Fn(Instant) -> F,
        out_of_time: impl Fn(&T) -> bool,
    ) -> T
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut latest = deadline;
        loop {
            let (operation, deadlines) = self.join(key.clone(), latest, &start);
            let outcome = operation.await;
            if deadlines.operation >= deadline || !out_of_time(&outcome) {
                return outcome;
            }
            latest = deadlines.latest();
        }
    }

    /// Joins the operation in flight, or starts one with that deadline.
    fn join<F>(
        &self,
        key: K,
        deadline: Instant,
        start: &impl Fn(Instant) -> F,
    ) -> (Operation<T>, Arc<Deadlines>)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut in_flight = lock(&self.0);
        let entry = in_flight.operations.get(&key).filter(|entry| entry.deadlines.is_joinable(deadline));
        if let Some((operation, entry)) = entry.and_then(|entry| Some((entry.operation.upgrade()?, entry))) {
            entry.deadlines.add(deadline);
            return (operation, entry.deadlines.clone());
        }
        in_flight.started += 1;
        let number = in_flight.started;
        let guard = EntryGuard { in_flight: self.0.clone(), key: key.clone(), number };
        let work = start(deadline);
        let operation = async move {
            let _guard = guard;
            work.await
        };
        let (operation, deadlines) = (operation.boxed().shared(), Deadlines::new(deadline));
        if let Some(weak) = operation.downgrade() {
            let entry = Entry { number, deadlines: deadlines.clone(), operation: weak };
            in_flight.operations.insert(key, entry);
        }
        (operation, deadlines)
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
            self.run_until(key, Instant::now() + Duration::from_secs(seconds), |_| false).await
        }

        async fn run_until(
            &self,
            key: &'static str,
            deadline: Instant,
            out_of_time: impl Fn(&u32) -> bool,
        ) -> u32 {
            let start = |_| {
                let (started, finish) = (self.started.clone(), self.finish.clone());
                async move {
                    let number = started.fetch_add(1, Ordering::SeqCst) + 1;
                    finish.notified().await;
                    number
                }
            };
            self.coalescer.run(key, deadline, start, out_of_time).await
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

    #[tokio::test(start_paused = true)]
    async fn who_joined_with_more_time_goes_on_in_one_further_operation_with_the_latest_deadline() {
        let bench = bench();
        let end = Instant::now() + Duration::from_secs(3);
        let is_first = |number: &u32| *number == 1;
        let later = |ms| Box::pin(bench.run_until("a", end + Duration::from_millis(ms), is_first));
        let mut own = later(0);
        let mut joined = [later(0), later(200), later(900), later(500)];
        assert!(poll!(&mut own).is_pending());
        for waiting in &mut joined {
            assert!(poll!(waiting).is_pending());
        }
        bench.finish.notify_one();
        let [same, mut shorter, mut longest, mut other] = joined;
        assert_eq!((own.await, same.await), (1, 1));
        for waiting in [&mut shorter, &mut longest, &mut other] {
            assert!(poll!(waiting).is_pending());
        }
        let deadline = lock(&bench.coalescer.0).operations["a"].deadlines.operation;
        assert_eq!(deadline, end + Duration::from_millis(900));
        bench.finish.notify_one();
        assert_eq!((shorter.await, longest.await, other.await), (2, 2, 2));
        assert!(bench.is_empty());
    }
}
