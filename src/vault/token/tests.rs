//! The published token, in paused time.

use std::time::Duration;

use super::*;

fn token(serial: u64, seconds: u64) -> Token {
    Token::new(serial, "s3cr3t".into(), SystemTime::now() + Duration::from_secs(seconds))
}

fn reader(state: TokenState) -> (watch::Sender<TokenState>, TokenReader) {
    let (sender, receiver) = watch::channel(state);
    (sender, TokenReader::new(receiver, RejectedTokens::none()))
}

fn refresh_failure(code: Code, seconds: u64) -> RefreshFailure {
    let error = TokenError::new(code, "down", "down".into());
    RefreshFailure { error, retry_at: Instant::now() + Duration::from_secs(seconds) }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(1)
}

#[test]
fn debug_shows_nothing_of_a_token() {
    let state =
        TokenState { token: Some(token_outside_a_runtime()), refresh_failure: None, credential_number: 0 };
    assert!(!format!("{state:?}").contains("s3cr3t"));
}

fn token_outside_a_runtime() -> Token {
    Token::new(7, "s3cr3t".into(), SystemTime::now())
}

#[tokio::test(start_paused = true)]
async fn a_valid_token_is_given_even_when_the_last_refresh_failed() {
    let refresh_failure = Some(refresh_failure(Code::Unavailable, 30));
    let (_sender, reader) =
        reader(TokenState { token: Some(token(1, 60)), refresh_failure, credential_number: 0 });
    assert_eq!(reader.usable(soon()).await.unwrap().serial, 1);
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_and_a_failed_refresh_give_the_reason_at_once() {
    let refresh_failure = Some(refresh_failure(Code::Unavailable, 30));
    let (_sender, reader) =
        reader(TokenState { token: Some(token(1, 1)), refresh_failure, credential_number: 0 });
    tokio::time::advance(Duration::from_secs(2)).await;
    let start = Instant::now();
    assert_eq!(reader.usable(soon()).await.unwrap_err().message, "down");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_is_due_before_the_deadline_is_waited_for() {
    let (sender, reader) = reader(TokenState {
        token: None,
        refresh_failure: Some(refresh_failure(Code::Unavailable, 0)),
        credential_number: 0,
    });
    let waiting = tokio::spawn(async move { reader.usable(soon()).await });
    tokio::task::yield_now().await;
    sender.send_replace(TokenState {
        token: Some(token(1, 60)),
        refresh_failure: None,
        credential_number: 0,
    });
    assert_eq!(waiting.await.unwrap().unwrap().serial, 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_credential_is_not_waited_for() {
    let refresh_failure = Some(refresh_failure(Code::Unauthenticated, 0));
    let (_sender, reader) = reader(TokenState { token: None, refresh_failure, credential_number: 0 });
    let start = Instant::now();
    assert_eq!(reader.usable(soon()).await.unwrap_err().code, Code::Unauthenticated);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_not_given_again_and_the_next_one_is_waited_for() {
    let (sender, reader) =
        reader(TokenState { token: Some(token(1, 60)), refresh_failure: None, credential_number: 0 });
    reader.reject(&reader.latest().unwrap());
    assert!(reader.latest().is_none());
    let waiting = tokio::spawn({
        let reader = reader.clone();
        async move { reader.usable(soon()).await }
    });
    tokio::task::yield_now().await;
    sender.send_replace(TokenState {
        token: Some(token(2, 60)),
        refresh_failure: None,
        credential_number: 0,
    });
    assert_eq!(waiting.await.unwrap().unwrap().serial, 2);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_token_ends_at_the_deadline() {
    let (_sender, reader) = reader(TokenState::default());
    assert_eq!(reader.usable(soon()).await.unwrap_err().code, Code::DeadlineExceeded);
}
