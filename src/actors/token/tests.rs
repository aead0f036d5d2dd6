//! The `TokenActor` against a scripted source, in paused time.

mod switch;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use actix::{Addr, Recipient};
use async_trait::async_trait;

use super::super::supervision::{ActorName, ChildExited, no_supervisor};
use super::*;
use crate::telemetry::capture_logs;
use crate::vault::TokenReader;

/// A source of tokens with the scripted lifetimes in seconds, then of an hour; `None` is a failure.
#[derive(Default)]
struct Script {
    lifetimes: Mutex<VecDeque<Option<u64>>>,
    fetches: AtomicUsize,
    /// The number of first fetches that wait for `release`.
    hanging: AtomicUsize,
    release: tokio::sync::Notify,
}

#[async_trait]
impl TokenSource for Script {
    async fn fetch(&self, serial: u64) -> Result<Token, TokenError> {
        if self.fetches.fetch_add(1, Ordering::SeqCst) < self.hanging.load(Ordering::SeqCst) {
            self.release.notified().await;
        }
        let next = self.lifetimes.lock().unwrap().pop_front().unwrap_or(Some(3600));
        let Some(seconds) = next else {
            let message = "Entra ID cannot be reached".to_owned();
            return Err(TokenError::new(Code::Unavailable, message.clone(), message));
        };
        Ok(Token::new(serial, "s3cr3t".into(), SystemTime::now() + Duration::from_secs(seconds)))
    }
}

struct Bench {
    script: Arc<Script>,
    parts: TokenParts,
    state: watch::Receiver<TokenState>,
    reader: TokenReader,
    supervisor: Recipient<ChildExited>,
    /// The number of sources that cannot be created from now on.
    unusable: Arc<AtomicUsize>,
}

fn bench(lifetimes: impl IntoIterator<Item = Option<u64>>) -> Bench {
    tokio::time::pause();
    let script =
        Arc::new(Script { lifetimes: Mutex::new(lifetimes.into_iter().collect()), ..Script::default() });
    let (published, state) = watch::channel(TokenState::default());
    let rejected = RejectedTokens::none();
    let reader = TokenReader::new(state.clone(), rejected.clone());
    let published = Arc::new(published);
    let metrics = Arc::new(Metrics::new());
    let (source, unusable) = (script.clone(), Arc::new(AtomicUsize::new(0)));
    let remaining = unusable.clone();
    let connect = Arc::new(move |_: &Access| {
        let take_one = |left: usize| left.checked_sub(1);
        match remaining.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take_one) {
            Ok(_) => Err("the trust roots cannot be read".to_owned()),
            Err(_) => Ok(source.clone() as Arc<dyn TokenSource>),
        }
    });
    let access = Arc::new(Access::of_this_machine());
    let active = Arc::new(watch::Sender::new(ActiveCredential { number: 0, access, token: None }));
    let parts = TokenParts { connect, active, published, rejected, metrics };
    Bench { script, parts, state, reader, supervisor: no_supervisor(), unusable }
}

/// Creates a bench whose first `fetches` hang.
fn hanging(fetches: usize) -> Bench {
    let bench = bench([]);
    bench.script.hanging.store(fetches, Ordering::SeqCst);
    bench
}

impl Bench {
    fn start(&self) -> Addr<TokenActor> {
        self.start_with(self.lifeline(1))
    }

    fn lifeline(&self, generation: u64) -> Lifeline {
        Lifeline::new(ActorName::Token, generation, self.supervisor.clone())
    }

    fn start_with(&self, lifeline: Lifeline) -> Addr<TokenActor> {
        TokenActor::prepare(self.parts.clone()).unwrap()(lifeline).start()
    }

    fn activate(&self, token: Token) {
        self.parts.active.send_modify(|active| {
            active.number += 1;
            active.token = Some(token);
        });
    }

    fn fetches(&self) -> usize {
        self.script.fetches.load(Ordering::SeqCst)
    }

    async fn serial(&mut self, wanted: u64) -> Instant {
        self.state.wait_for(|state| state.token.as_ref().is_some_and(|t| t.serial == wanted)).await.unwrap();
        Instant::now()
    }

    async fn failure(&mut self) {
        self.state.wait_for(|state| state.refresh_failure.is_some()).await.unwrap();
    }
}

/// Waits until the actor has handled every earlier message.
async fn settle(actor: &Addr<TokenActor>) {
    actor.send(Control::Ping).await.unwrap();
}

#[actix::test]
async fn a_token_is_refreshed_when_a_third_of_its_life_is_left() {
    let mut bench = bench([Some(3600)]);
    let _actor = bench.start();
    let first = bench.serial(1).await;
    let second = bench.serial(2).await;
    let age = second - first;
    assert!(age > Duration::from_secs(2390) && age < Duration::from_secs(2520), "{age:?}");
}

#[actix::test]
async fn a_valid_token_is_kept_when_its_refresh_fails() {
    let mut bench = bench([Some(3600), None]);
    let _actor = bench.start();
    bench.serial(1).await;
    bench.failure().await;
    assert_eq!(bench.reader.latest().unwrap().serial, 1);
    bench.serial(2).await;
}

#[actix::test]
async fn failures_are_retried_with_growing_pauses() {
    let mut bench = bench([None; 6]);
    let start = Instant::now();
    let _actor = bench.start();
    let waited = bench.serial(1).await - start;
    assert_eq!(bench.fetches(), 7);
    // 1 + 2 + 4 + 8 + 16 + 30, and jitter of up to as much again
    assert!(waited >= Duration::from_secs(61) && waited <= Duration::from_secs(125), "{waited:?}");
}

#[actix::test]
async fn a_fetch_that_hangs_is_made_again_after_a_second() {
    let mut bench = hanging(1);
    let start = Instant::now();
    let _actor = bench.start();
    let took = bench.serial(1).await - start;
    assert!(took >= HEDGE_AFTER && took < 2 * HEDGE_AFTER, "{took:?}");
    assert_eq!(bench.fetches(), 2);
}

#[actix::test]
async fn fetches_that_hang_are_given_up_in_the_end() {
    let mut bench = hanging(2);
    let start = Instant::now();
    let _actor = bench.start();
    let took = bench.serial(1).await - start;
    assert!(took >= FETCH_TIMEOUT && took <= FETCH_TIMEOUT + 2 * SHORTEST_PAUSE, "{took:?}");
    assert_eq!(bench.fetches(), 3);
}

#[actix::test]
async fn who_does_not_answer_is_named() {
    let mut bench = hanging(2);
    let _actor = bench.start();
    bench.failure().await;
    let message = bench.state.borrow().refresh_failure.as_ref().unwrap().error.message.clone();
    assert_eq!(message, "IMDS does not answer within 10 s");
}

#[actix::test]
async fn the_same_failure_is_logged_once_and_so_is_its_end() {
    let (_guard, log) = capture_logs();
    let mut bench = bench([None; 6]);
    let actor = bench.start();
    bench.serial(1).await;
    settle(&actor).await;
    let log = log.lock().unwrap();
    let logged = ["\"Token refresh failed\" err=\"Entra ID cannot be reached\" retry", "\"Token refreshed\""];
    assert_eq!(logged.map(|text| log.matches(text).count()), [1, 1], "{log}");
}

#[actix::test]
async fn an_actor_that_was_given_up_and_comes_back_publishes_nothing() {
    let mut bench = hanging(2);
    let lifeline = bench.lifeline(1);
    let abandoned = lifeline.abandoned();
    let first = bench.start_with(lifeline);
    tokio::time::sleep(2 * HEDGE_AFTER).await;
    assert_eq!(bench.fetches(), 2);
    abandoned.set();
    let _second = bench.start_with(bench.lifeline(2));
    bench.serial(1).await;
    bench.state.borrow_and_update();
    bench.script.release.notify_waiters();
    for _ in 0..5 {
        settle(&first).await;
    }
    assert!(!bench.state.has_changed().unwrap());
}

#[actix::test]
async fn a_rejected_token_is_dropped_and_replaced_at_once() {
    let mut bench = bench([]);
    let _actor = bench.start();
    let first = bench.serial(1).await;
    bench.parts.rejected.reject(1);
    assert_eq!(bench.serial(2).await, first);
}

#[actix::test]
async fn tokens_rejected_one_after_the_other_do_not_flood_entra() {
    let mut bench = bench([]);
    let actor = bench.start();
    bench.serial(1).await;
    let start = Instant::now();
    for serial in 1..=6 {
        bench.parts.rejected.reject(serial);
        bench.serial(serial + 1).await;
        settle(&actor).await;
    }
    // the second at once, then after 1 + 2 + 4 + 8 + 16 s at least
    assert!(start.elapsed() >= Duration::from_secs(31), "{:?}", start.elapsed());
}

#[actix::test]
async fn a_new_token_that_is_rejected_although_its_predecessor_was_good_is_replaced_at_once() {
    let mut bench = bench([]);
    let _actor = bench.start();
    bench.serial(1).await;
    let refreshed = bench.serial(2).await;
    bench.parts.rejected.reject(2);
    assert_eq!(bench.serial(3).await, refreshed);
}

#[actix::test]
async fn tokens_that_work_and_are_revoked_one_after_the_other_are_replaced_at_once() {
    let mut bench = bench([]);
    let _actor = bench.start();
    bench.serial(1).await;
    for serial in 1..=6 {
        bench.parts.rejected.accept(serial);
        tokio::time::sleep(2 * SHORTEST_PAUSE).await; // paused: the clock jumps
        let revoked = Instant::now();
        bench.parts.rejected.reject(serial);
        assert_eq!(bench.serial(serial + 1).await, revoked);
    }
}

#[actix::test]
async fn after_a_token_that_lasted_the_pauses_are_short_again() {
    let mut bench = bench([]);
    let actor = bench.start();
    bench.serial(1).await;
    for serial in 1..=5 {
        bench.parts.rejected.reject(serial);
        bench.serial(serial + 1).await;
        settle(&actor).await;
    }
    let renewed = bench.serial(7).await; // the planned refresh
    settle(&actor).await;
    bench.parts.rejected.reject(7);
    assert!(bench.serial(8).await - renewed <= 2 * SHORTEST_PAUSE);
}

#[actix::test]
async fn a_restarted_actor_keeps_the_published_token_and_its_schedule() {
    let mut bench = bench([]);
    let first = bench.start();
    let obtained = bench.serial(1).await;
    first.do_send(Control::Stop);
    tokio::time::sleep(Duration::from_secs(60)).await; // paused: the clock jumps
    let _second = bench.start();
    let age = bench.serial(2).await - obtained;
    assert_eq!(bench.fetches(), 2);
    assert!(age > Duration::from_secs(2390) && age < Duration::from_secs(2520), "{age:?}");
}

#[actix::test]
async fn a_token_rejected_while_the_actor_was_down_is_replaced_at_its_start() {
    let mut bench = bench([]);
    let first = bench.start();
    bench.serial(1).await;
    first.do_send(Control::Stop);
    settle_stopped(&first).await;
    bench.parts.rejected.reject(1);
    let _second = bench.start();
    bench.serial(2).await;
}

async fn settle_stopped(actor: &Addr<TokenActor>) {
    while actor.connected() {
        tokio::task::yield_now().await;
    }
}
