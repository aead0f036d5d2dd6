//! The circuit breaker, in paused time.

use tokio::time::advance;

use super::*;

fn error(failure: Failure) -> VaultError {
    VaultError::without_answer(failure)
}

async fn fails(breaker: &CircuitBreaker, failure: Failure, times: u32) {
    for _ in 0..times {
        let permit = breaker.permit().unwrap_or_else(|outage| panic!("{outage:?}"));
        advance(Duration::from_secs(1)).await;
        permit.failed(&error(failure));
    }
}

async fn open_breaker() -> CircuitBreaker {
    let breaker = CircuitBreaker::default();
    fails(&breaker, Failure::ServerError, FAILURE_THRESHOLD).await;
    breaker
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_is_down_is_refused_with_the_reason_and_for_how_long() {
    let breaker = open_breaker().await;
    let outage = breaker.check().unwrap_err();
    assert_eq!((outage.error.failure, outage.lasted), (Failure::ServerError, Duration::from_secs(4)));
}

#[tokio::test(start_paused = true)]
async fn many_failures_in_a_moment_do_not_open_it() {
    let breaker = CircuitBreaker::default();
    for _ in 0..100 {
        breaker.permit().unwrap_or_else(|outage| panic!("{outage:?}")).failed(&error(Failure::Unreachable));
    }
    assert!(!breaker.is_open());
}

#[tokio::test(start_paused = true)]
async fn one_trial_at_a_time_looks_for_the_vault_s_return() {
    let breaker = open_breaker().await;
    advance(2 * FIRST_PAUSE).await;
    let trial = breaker.permit();
    assert!(trial.is_ok() && breaker.permit().is_err());
    drop(trial); // cancelled: another trial may be made
    assert!(breaker.permit().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_never_ends_keeps_nobody_from_another() {
    let breaker = open_breaker().await;
    advance(2 * FIRST_PAUSE).await;
    let stuck = breaker.permit();
    advance(TRIAL_TIMEOUT).await;
    let second = breaker.permit();
    assert!(stuck.is_ok() && second.is_ok());
    drop(stuck); // does not end the second trial
    assert!(breaker.permit().is_err());
}

#[tokio::test(start_paused = true)]
async fn failures_long_before_do_not_count() {
    let breaker = CircuitBreaker::default();
    fails(&breaker, Failure::ServerError, FAILURE_THRESHOLD - 1).await;
    advance(2 * LONGEST_FAILURE_INTERVAL).await;
    fails(&breaker, Failure::ServerError, 1).await;
    assert!(!breaker.is_open());
}

#[tokio::test(start_paused = true)]
async fn after_a_failed_probe_there_is_a_pause_and_after_the_first_success_none() {
    let breaker = open_breaker().await;
    advance(2 * FIRST_PAUSE).await;
    fails(&breaker, Failure::Unreachable, 1).await;
    assert!(breaker.check().is_err());
    advance(2 * LONGEST_PAUSE).await;
    breaker.permit().unwrap_or_else(|outage| panic!("{outage:?}")).answered();
    assert!(breaker.permit().is_ok() && breaker.permit().is_ok() && !breaker.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_shows_that_the_vault_is_there() {
    for failure in [Failure::Forbidden, Failure::Throttled, Failure::NotFound, Failure::Unauthorized] {
        let breaker = CircuitBreaker::default();
        fails(&breaker, Failure::ServerError, FAILURE_THRESHOLD - 1).await;
        fails(&breaker, failure, 1).await;
        fails(&breaker, Failure::ServerError, FAILURE_THRESHOLD - 1).await;
        assert!(!breaker.is_open(), "{failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn callers_with_short_deadlines_do_not_open_it() {
    let breaker = CircuitBreaker::default();
    for _ in 0..100 {
        let permit = breaker.permit().unwrap_or_else(|outage| panic!("{outage:?}"));
        advance(Duration::from_millis(50)).await;
        permit.failed(&error(Failure::TimedOut));
    }
    assert!(!breaker.is_open());
}
