//! Tokens that are rejected or missing.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_401_rejects_the_token_and_the_call_goes_on_with_the_next_one() {
    let bench = Arc::new(bench([failing(401, Failure::Unauthorized)]));
    let mut rejections = bench.rejected.subscribe();
    let (encrypted, ()) = tokio::join!(bench.encrypt(), async {
        rejections.changed().await.unwrap();
        bench.tokens.send_replace(token(2));
    });
    assert!(encrypted.is_ok());
    assert_eq!((bench.calls(), bench.rejected.newest()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_second_401_rejects_the_second_token_too_and_without_a_third_it_is_the_error() {
    let bench = bench([failing(401, Failure::Unauthorized), failing(401, Failure::Unauthorized)]);
    let mut rejections = bench.rejected.subscribe();
    let (encrypted, ()) = tokio::join!(bench.encrypt(), async {
        rejections.changed().await.unwrap();
        bench.tokens.send_replace(token(2));
    });
    assert_eq!(encrypted.unwrap_err().code, Code::Unauthenticated);
    assert_eq!((bench.calls(), bench.rejected.newest()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn without_a_token_key_vault_is_not_called() {
    let bench = bench([]);
    let error = TokenError::new(Code::Unavailable, "unreachable", "IMDS cannot be reached".into());
    let refresh_failure = Some(RefreshFailure { error, retry_at: bench.start + Duration::from_secs(30) });
    bench.tokens.send_replace(TokenState { token: None, refresh_failure, credential_number: 0 });
    assert_eq!(bench.encrypt().await.unwrap_err().message, "IMDS cannot be reached");
    assert_eq!(bench.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_dropped_under_a_call_costs_a_wait_and_no_error() {
    let bench = Arc::new(bench([VaultError::without_answer(Failure::NoToken)]));
    bench.rejected.reject(1);
    let (encrypted, ()) = tokio::join!(bench.encrypt(), async { drop(bench.tokens.send_replace(token(2))) });
    assert!(encrypted.is_ok());
    assert_eq!(bench.calls(), 2);
}
