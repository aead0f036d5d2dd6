//! Makes one operation of identical ones that run at the same time: each caller gets its outcome.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::time::Instant;

/// Who joins an operation has a deadline that differs from its own by so much at most.
const SLACK: Duration = Duration::from_secs(1);

type Operation<T> = Shared<BoxFuture<'static, T>>;

/// The operations that run, by what makes them identical.
pub(crate) struct Coalesced<K, T: Clone>(Arc<Mutex<List<K, T>>>);

struct List<K, T: Clone> {
    started: u64,
    running: HashMap<K, Running<T>>,
}

struct Running<T: Clone> {
    number: u64,
    deadline: Instant,
    operation: WeakShared<BoxFuture<'static, T>>,
}

impl<T: Clone> Running<T> {
    fn is_near(&self, deadline: Instant) -> bool {
        self.deadline <= deadline + SLACK && deadline <= self.deadline + SLACK
    }
}

/// Takes the operation from the list when it has ended, or when nobody waits for it any more.
struct Entry<K: Eq + Hash, T: Clone> {
    list: Arc<Mutex<List<K, T>>>,
    key: K,
    number: u64,
}

impl<K, T> Coalesced<K, T>
where
    K: Eq + Hash + Clone + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Nothing runs yet.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(List { started: 0, running: HashMap::new() })))
    }

    /// The outcome of the operation with that key: of one that runs, if its own deadline is near enough, or else of
    /// `start`. It goes on for as long as one caller waits for it.
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
        let mut list = lock(&self.0);
        let running = list.running.get(&key).filter(|running| running.is_near(deadline));
        if let Some(running) = running
            && let Some(operation) = running.operation.upgrade()
        {
            return operation;
        }
        list.started += 1;
        let number = list.started;
        let entry = Entry { list: self.0.clone(), key: key.clone(), number };
        let work = start();
        let operation = async move {
            let _entry = entry;
            work.await
        };
        let operation = operation.boxed().shared();
        if let Some(weak) = operation.downgrade() {
            list.running.insert(key, Running { number, deadline, operation: weak });
        }
        operation
    }
}

impl<K: Eq + Hash, T: Clone> Drop for Entry<K, T> {
    fn drop(&mut self) {
        let mut list = lock(&self.list);
        if list.running.get(&self.key).is_some_and(|running| running.number == self.number) {
            list.running.remove(&self.key);
        }
    }
}

fn lock<K, T: Clone>(list: &Mutex<List<K, T>>) -> MutexGuard<'_, List<K, T>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Notify;

    use super::*;

    struct Bench {
        coalesced: Coalesced<&'static str, u32>,
        started: Arc<AtomicU32>,
        finish: Arc<Notify>,
    }

    fn bench() -> Bench {
        Bench { coalesced: Coalesced::new(), started: Arc::default(), finish: Arc::default() }
    }

    impl Bench {
        /// Ends when told to, with the number of its start.
        async fn run(&self, key: &'static str, seconds: u64) -> u32 {
            let deadline = Instant::now() + Duration::from_secs(seconds);
            let (started, finish) = (self.started.clone(), self.finish.clone());
            let start = || async move {
                let number = started.fetch_add(1, Ordering::SeqCst) + 1;
                finish.notified().await;
                number
            };
            self.coalesced.run(key, deadline, start).await
        }

        fn is_empty(&self) -> bool {
            lock(&self.coalesced.0).running.is_empty()
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
        drop(short); // its end does not remove the other from the list
        assert!(!bench.is_empty());
    }
}
