//! The limits on hedges.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_hedges_of_a_hung_connection_keep_to_the_rate_limit_and_are_all_counted() {
    let hung = Scripted { silent_connections: 1, latency: Duration::from_millis(10), ..scripted() };
    let bench = limited_bench(hung, 1, 36);
    let encrypted = join_all((0..36).map(|_| bench.encrypt())).await;
    assert_eq!(bench.calls_between(0.0, 0.5), 36); // the burst
    let hedges = bench.calls() - 36;
    assert!((1..=3).contains(&hedges), "{hedges}"); // one in each second
    for second in [0.9, 1.9, 2.9] {
        assert!(bench.calls_between(second, second + 0.9) <= 1);
    }
    assert_eq!(encrypted.iter().filter(|outcome| outcome.is_ok()).count(), bench.calls_between(0.5, 2.9));
    assert_eq!(bench.hedges(), hedges);
}

#[tokio::test(start_paused = true)]
async fn the_hedges_of_a_hung_connection_wait_while_key_vault_throttles() {
    let hung = Scripted { silent_connections: 1, latency: Duration::from_millis(10), ..scripted() };
    let bench = bench_of(hung);
    let retry_after = Some(Duration::from_secs(1));
    let throttled = VaultError { retry_after, ..failing(429, Failure::Throttled) };
    bench.vault.failures.lock().unwrap().push_back(throttled);
    join_all((0..36).map(|_| bench.encrypt())).await;
    // those within the budget are sent together, and the first of them is throttled at 1.01 s
    assert_eq!((bench.calls_between(0.0, 0.5), bench.calls_between(0.5, 1.005)), (36, 10));
    assert_eq!(bench.calls_between(1.005, 2.005), 0);
    assert!(bench.calls_between(2.005, 3.0) > 10);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_is_made_because_the_connection_hangs_is_counted() {
    let bench = bench_of(Scripted { silent_connections: 1, ..scripted() });
    join_all((0..64).map(|_| bench.encrypt())).await;
    assert_eq!((bench.calls(), bench.hedges()), (64 + 64, 64));
}
