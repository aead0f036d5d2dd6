//! Outages of Key Vault.

use super::*;

/// Makes 50 calls at once, and returns the number of those that fail without delay, for that reason.
async fn fail_fast(bench: &Bench, reason: &str) -> usize {
    let calls = (0..50).map(|_| async {
        let start = Instant::now();
        let error = bench.encrypt().await.unwrap_err();
        start.elapsed().is_zero() && error.code == Code::Unavailable && error.message.starts_with(reason)
    });
    join_all(calls).await.into_iter().filter(|is_fast| *is_fast).count()
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_is_down_fails_fast_with_the_reason_and_the_first_success_ends_it() {
    let bench = bench(std::iter::repeat_n(VaultError::without_answer(Failure::Unreachable), 10_000));
    bench.encrypt().await.unwrap_err();
    bench.encrypt().await.unwrap_err();
    assert!(bench.metrics.render().contains("azure_kms_key_vault_breaker_open 1"));
    // one of them may be the trial, which then waits to retry
    let fast = fail_fast(&bench, "Key Vault cannot be reached, for ").await;
    assert!(fast >= 49, "{fast}");
    let calls = bench.calls();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.calls(), calls);
    assert_eq!(fail_fast(&bench, "Key Vault cannot be reached, for ").await, 49);
    bench.vault.failures.lock().unwrap().clear();
    sleep(Duration::from_secs(2)).await;
    bench.encrypt().await.unwrap();
    assert!(join_all((0..50).map(|_| bench.encrypt())).await.iter().all(Result::is_ok));
    assert!(bench.metrics.render().contains("azure_kms_key_vault_breaker_open 0"));
}

#[tokio::test(start_paused = true)]
async fn who_has_tried_before_waits_for_the_vault_s_return_while_others_fail_fast() {
    let bench = bench(std::iter::repeat_n(VaultError::without_answer(Failure::Unreachable), 10_000));
    bench.encrypt().await.unwrap_err();
    while !bench.metrics.render().contains("breaker_open 1") {
        bench.encrypt().await.unwrap_err();
    }
    sleep(Duration::from_secs(2)).await;
    let mut patient = Box::pin(bench.encrypt()); // the trial, which fails
    assert!(futures_util::poll!(&mut patient).is_pending());
    assert!(bench.encrypt().await.is_err());
    bench.vault.failures.lock().unwrap().clear();
    assert!(patient.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_trial_takes_nothing_from_the_rate_limit() {
    let bench = limited_bench(Scripted { latency: Duration::from_millis(50), ..scripted() }, 10, 10);
    let unreachable = VaultError::without_answer(Failure::Unreachable);
    bench.vault.failures.lock().unwrap().extend(std::iter::repeat_n(unreachable.clone(), 1000));
    while bench.shared.outage().is_none() {
        sleep(Duration::from_secs(1)).await;
        bench.shared.breaker.permit().unwrap_or_else(|outage| panic!("{outage:?}")).failed(&unreachable);
    }
    sleep(Duration::from_secs(2)).await; // a trial may be made, but the rate limit is used up
    while bench.shared.rate_limit.try_acquire().is_ok() {}
    let start = Instant::now();
    let failed = join_all((0..20).map(|_| async {
        let error = bench.encrypt_within(Duration::from_millis(900)).await.unwrap_err();
        (error.code, start.elapsed() <= Duration::from_millis(100))
    }));
    let failed = failed.await;
    assert_eq!(failed.iter().filter(|outcome| **outcome == (Code::Unavailable, true)).count(), 19);
    let regained = start.elapsed().as_millis() as usize / 100;
    let taken = regained - bench.shared.rate_limit().left as usize;
    assert!(bench.calls() >= 1 && taken.abs_diff(bench.calls()) <= 1, "{taken} for {} trials", bench.calls());
}
