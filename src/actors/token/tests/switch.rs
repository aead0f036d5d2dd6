//! Credentials that are replaced while the actor runs, or while there is none.

use super::*;

#[actix::test]
async fn an_adopted_credential_s_token_is_published_at_once_and_refreshed_in_time() {
    let mut bench = bench([]);
    let _actor = bench.start();
    bench.serial(1).await;
    let token = Token::new(0, "adopted".into(), SystemTime::now() + Duration::from_secs(3600));
    bench.activate(token);
    let adopted = bench.serial(2).await;
    assert_eq!((bench.reader.latest().unwrap().expose(), bench.fetches()), ("adopted", 1));
    let age = bench.serial(3).await - adopted;
    assert!(age > Duration::from_secs(2390), "{age:?}");
}

#[actix::test]
async fn a_restarted_actor_does_not_publish_the_trial_s_token_again() {
    let mut bench = bench([]);
    let first = bench.start();
    bench.serial(1).await;
    let token = Token::new(0, "adopted".into(), SystemTime::now() + Duration::from_secs(3600));
    bench.activate(token);
    bench.serial(2).await;
    first.do_send(Control::Stop);
    settle_stopped(&first).await;
    let second = bench.start();
    settle(&second).await;
    assert_eq!((bench.reader.latest().unwrap().serial, bench.fetches()), (2, 1));
}

#[actix::test]
async fn a_credential_that_was_taken_over_while_no_actor_was_there_is_adopted_at_the_next_start() {
    let mut bench = bench([]);
    let first = bench.start();
    bench.serial(1).await;
    first.do_send(Control::Stop);
    settle_stopped(&first).await;
    bench.activate(Token::new(0, "adopted".into(), SystemTime::now() + Duration::from_secs(3600)));
    let _second = bench.start();
    bench.serial(2).await;
    assert_eq!((bench.reader.latest().unwrap().expose(), bench.fetches()), ("adopted", 1));
}

#[actix::test]
async fn a_switch_that_fails_is_a_failed_refresh_and_is_tried_again_with_growing_pauses() {
    let (_guard, log) = capture_logs();
    let mut bench = bench([]);
    let _actor = bench.start();
    bench.serial(1).await;
    bench.unusable.store(5, Ordering::SeqCst);
    bench.activate(Token::new(0, "adopted".into(), SystemTime::now() + Duration::from_secs(3600)));
    let start = Instant::now();
    bench.failure().await;
    let failure = bench.state.borrow().refresh_failure.clone().unwrap();
    assert_eq!(failure.error.message, "the plugin's new credential cannot be used");
    assert!(failure.retry_at > start && failure.retry_at <= start + 2 * SHORTEST_PAUSE);
    assert_eq!(bench.reader.latest().unwrap().serial, 1);
    let waited = bench.serial(2).await - start;
    assert_eq!((bench.reader.latest().unwrap().expose(), bench.fetches()), ("adopted", 1));
    // 1 + 2 + 4 + 8 + 16, and jitter of up to as much again
    assert!(waited >= Duration::from_secs(31) && waited <= Duration::from_secs(63), "{waited:?}");
    assert!(bench.state.borrow().refresh_failure.is_none());
    assert!(bench.parts.metrics.render().contains(r#"azure_kms_token_refreshes_total{result="error"} 5"#));
    let log = log.lock().unwrap();
    let logged = "\"Token refresh failed\" err=\"the plugin's new credential cannot be used\" \
                  cause=\"the trust roots cannot be read\" retry";
    assert_eq!(log.matches(logged).count(), 1, "{log}");
}

#[actix::test]
async fn a_switch_that_fails_at_the_start_does_not_leave_the_actor_idle() {
    let mut bench = bench([]);
    bench.activate(Token::new(0, "adopted".into(), SystemTime::now() + Duration::from_secs(3600)));
    let actor = TokenActor::prepare(bench.parts.clone()).unwrap();
    bench.unusable.store(1, Ordering::SeqCst);
    let _actor = actor(bench.lifeline(1)).start();
    bench.failure().await;
    bench.serial(1).await;
    assert_eq!(bench.reader.latest().unwrap().expose(), "adopted");
}

#[actix::test]
async fn a_fetch_with_the_earlier_credential_does_not_end_the_retries_of_a_switch() {
    let mut bench = hanging(1);
    let actor = bench.start();
    settle(&actor).await;
    bench.unusable.store(2, Ordering::SeqCst);
    bench.activate(Token::new(0, "adopted".into(), SystemTime::now() + Duration::from_secs(3600)));
    bench.failure().await;
    bench.script.release.notify_waiters(); // it ends, and is ignored
    settle(&actor).await;
    bench.parts.rejected.reject(1); // makes the actor refresh at once
    bench.serial(2).await;
    assert_eq!((bench.reader.latest().unwrap().expose(), bench.fetches()), ("adopted", 1));
}
