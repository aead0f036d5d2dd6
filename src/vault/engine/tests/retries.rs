//! Retries within the deadline.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_retried_and_the_caller_sees_only_latency() {
    let bench = bench([
        failing(503, Failure::ServerError),
        VaultError::without_answer(Failure::Unreachable),
        failing(429, Failure::Throttled),
    ]);
    assert!(bench.encrypt().await.is_ok());
    assert_eq!(bench.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_not_retried() {
    for (failure, code) in [
        (Failure::Forbidden, Code::PermissionDenied),
        (Failure::NotFound, Code::NotFound),
        (Failure::BadRequest, Code::InvalidArgument),
        (Failure::KeyUnusable, Code::FailedPrecondition),
        (Failure::OperationNotAllowed, Code::FailedPrecondition),
    ] {
        let bench = bench([failing(400, failure)]);
        assert_eq!(bench.encrypt().await.unwrap_err().code, code);
        assert_eq!(bench.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_within_the_deadline() {
    let throttled =
        VaultError { retry_after: Some(Duration::from_secs(2)), ..failing(429, Failure::Throttled) };
    let bench = bench([throttled]);
    assert!(bench.encrypt().await.is_ok());
    assert!(bench.start.elapsed() >= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn retry_after_past_the_deadline_fails_at_once_with_the_reason() {
    let throttled =
        VaultError { retry_after: Some(Duration::from_secs(3600)), ..failing(429, Failure::Throttled) };
    let bench = bench([throttled]);
    assert_eq!(bench.encrypt().await.unwrap_err().code, Code::ResourceExhausted);
    assert_eq!(bench.start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_retried_until_the_deadline_and_never_past_it() {
    let bench = bench(std::iter::repeat_n(VaultError::without_answer(Failure::Unreachable), 1000));
    assert_eq!(bench.encrypt().await.unwrap_err().code, Code::Unavailable);
    assert!(bench.start.elapsed() <= Duration::from_secs(3));
    assert!((3..=20).contains(&bench.calls()), "{}", bench.calls());
}

#[tokio::test(start_paused = true)]
async fn a_silent_vault_costs_the_deadline_and_no_more() {
    let bench = bench_of(Scripted { silent_connections: usize::MAX, ..scripted() });
    assert_eq!(bench.encrypt().await.unwrap_err().code, Code::DeadlineExceeded);
    assert_eq!(bench.start.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn when_time_is_up_the_true_cause_is_told_with_attempts_and_time() {
    let throttled =
        VaultError { retry_after: Some(Duration::from_secs(1)), ..failing(429, Failure::Throttled) };
    let bench = bench(std::iter::repeat_n(throttled, 1000));
    let error = bench.encrypt().await.unwrap_err();
    assert_eq!(error.message, "throttled by Key Vault (HTTP 429), 3 attempts in 2.0 s");
}

#[tokio::test(start_paused = true)]
async fn silence_at_the_end_does_not_hide_what_was_answered_before() {
    let bench = bench_of(Scripted { latency: Duration::from_millis(1500), ..scripted() });
    let unavailable = failing(503, Failure::ServerError);
    bench.vault.failures.lock().unwrap().extend([unavailable.clone(), unavailable]); // for the hedge too
    let error = bench.encrypt().await.unwrap_err();
    assert_eq!(error.code, Code::Unavailable);
    assert_eq!(error.message, "Key Vault answers with a server error (HTTP 503), 2 attempts in 3.0 s");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_cannot_finish_in_time_is_not_made() {
    let bench = bench_of(Scripted { latency: Duration::from_millis(400), ..scripted() });
    for _ in 0..20 {
        bench.encrypt().await.unwrap();
    }
    let made = bench.calls();
    let unavailable = failing(503, Failure::ServerError);
    bench.vault.failures.lock().unwrap().extend(std::iter::repeat_n(unavailable, 1000));
    let start = Instant::now();
    bench.encrypt().await.unwrap_err();
    let attempts = bench.vault.calls.lock().unwrap()[made..].to_vec();
    assert!(attempts.len() > 1);
    assert!(attempts.iter().all(|sent| *sent - start < Duration::from_millis(2600)), "{attempts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_429_keeps_everybody_from_calling_until_the_time_it_asked_for() {
    let bench =
        bench([VaultError { retry_after: Some(Duration::from_secs(2)), ..failing(429, Failure::Throttled) }]);
    let first = bench.encrypt();
    let others = async {
        tokio::task::yield_now().await;
        join_all((0..5).map(|_| bench.encrypt())).await
    };
    let (first, others) = tokio::join!(first, others);
    assert!(first.is_ok() && others.iter().all(Result::is_ok));
    let calls = bench.vault.calls.lock().unwrap().clone();
    assert_eq!(calls.iter().filter(|at| at.duration_since(bench.start) < Duration::from_secs(2)).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_has_gone_costs_no_call() {
    let bench =
        bench([VaultError { retry_after: Some(Duration::from_secs(1)), ..failing(429, Failure::Throttled) }]);
    let mut waiting = Box::pin(bench.encrypt());
    assert!(futures_util::poll!(&mut waiting).is_pending()); // throttled, and waits
    drop(waiting);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.calls(), 1);
}
