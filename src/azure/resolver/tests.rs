//! Resolvers that are slow, dead, or change their mind, in paused time.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::{sleep, timeout};

use super::*;
use crate::telemetry::capture_logs;

/// The state of a resolver that a test controls.
#[derive(Clone)]
struct Server {
    takes: Duration,
    /// The last number of the address; `None` while it fails.
    address: Option<u8>,
}

struct Bench {
    resolver: CachingResolver,
    server: Arc<Mutex<Server>>,
    lookups: Arc<AtomicU32>,
}

fn bench(seconds: u64) -> Bench {
    let server = Arc::new(Mutex::new(Server { takes: Duration::from_secs(seconds), address: Some(1) }));
    let lookups = Arc::new(AtomicU32::new(0));
    let (state, count) = (server.clone(), lookups.clone());
    let resolver = CachingResolver::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let Server { takes, address } = state.lock().unwrap().clone();
        async move {
            sleep(takes).await;
            match address {
                Some(last) => Ok(vec![SocketAddr::from(([127, 0, 0, last], 0))]),
                None => Err(io::Error::other("no servers could be reached")),
            }
        }
        .boxed()
    });
    Bench { resolver, server, lookups }
}

impl Bench {
    /// Returns the last number of the address, if it comes in so many seconds.
    async fn resolve(&self, seconds: u64) -> Option<Result<u8, String>> {
        let addresses = self.resolver.addresses("vault.azure.net".into());
        let addresses = timeout(Duration::from_secs(seconds), addresses).await.ok()?;
        Some(addresses.map_err(|error| error.to_string()).map(|found| match found[0] {
            SocketAddr::V4(address) => address.ip().octets()[3],
            SocketAddr::V6(_) => 0,
        }))
    }

    fn set(&self, address: Option<u8>) {
        self.server.lock().unwrap().address = address;
    }

    fn lookups(&self) -> u32 {
        self.lookups.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_lookup_goes_on_beyond_its_caller_and_serves_the_next_one() {
    let bench = bench(5);
    assert_eq!(bench.resolve(3).await, None);
    assert_eq!(bench.resolve(3).await, Some(Ok(1)));
    assert_eq!(bench.lookups(), 1);
}

#[tokio::test(start_paused = true)]
async fn known_addresses_are_given_at_once_and_refreshed_behind() {
    let bench = bench(1);
    assert_eq!(bench.resolve(3).await, Some(Ok(1)));
    bench.set(Some(2));
    sleep(REFRESH_AFTER).await;
    let start = Instant::now();
    assert_eq!((bench.resolve(3).await, start.elapsed()), (Some(Ok(1)), Duration::ZERO));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.resolve(3).await, Some(Ok(2)));
}

#[tokio::test(start_paused = true)]
async fn addresses_stay_usable_while_the_resolver_is_dead() {
    let bench = bench(1);
    assert_eq!(bench.resolve(3).await, Some(Ok(1)));
    bench.set(None);
    let (_guard, log) = capture_logs();
    for _ in 0..10 {
        sleep(REFRESH_AFTER * 2).await;
        assert_eq!(bench.resolve(3).await, Some(Ok(1)));
    }
    assert_eq!(log.lock().unwrap().matches("its last addresses stay in use").count(), 1);
    bench.set(Some(3));
    sleep(REFRESH_AFTER).await;
    let _ = bench.resolve(3).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.resolve(3).await, Some(Ok(3)));
}

#[tokio::test(start_paused = true)]
async fn a_failed_lookup_is_named_as_such_and_made_again() {
    let bench = bench(1);
    bench.set(None);
    let failure = bench.resolve(3).await.unwrap().unwrap_err();
    assert_eq!(failure, "name resolution: no servers could be reached");
    bench.set(Some(1));
    assert_eq!(bench.resolve(3).await, Some(Ok(1)));
}

#[tokio::test(start_paused = true)]
async fn callers_at_the_same_time_share_one_lookup() {
    let bench = bench(1);
    let (first, second) = tokio::join!(bench.resolve(3), bench.resolve(3));
    assert_eq!((first, second, bench.lookups()), (Some(Ok(1)), Some(Ok(1)), 1));
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_does_not_end_is_not_waited_for_by_others_for_ever() {
    let bench = bench(3600);
    assert_eq!(bench.resolve(3).await, None);
    bench.server.lock().unwrap().takes = Duration::from_secs(1);
    assert_eq!((bench.resolve(3).await, bench.lookups()), (None, 1));
    sleep(STUCK_AFTER).await;
    assert_eq!((bench.resolve(3).await, bench.lookups()), (Some(Ok(1)), 2));
}

#[tokio::test]
async fn the_system_s_resolver_knows_localhost() {
    assert!(!CachingResolver::default().addresses("localhost".into()).await.unwrap().is_empty());
}
