//! Each way to fail against each reaction. Children run on the test's own thread, whose clock can be paused.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use actix::Addr;

use super::super::child::Factory;
use super::super::protocol::Lifeline;
use super::*;

const PERIOD: Duration = Duration::from_secs(60);

fn limit(limit: u32, at_limit: LimitAction) -> SupervisionConfig {
    let limit = NonZeroU32::new(limit).unwrap();
    SupervisionConfig { limit, at_limit, ..SupervisionConfig::default() }
}

/// A child that can be made to leave pings unanswered without blocking its thread.
struct Worker {
    is_hung: bool,
    _lifeline: Lifeline,
}

impl Actor for Worker {
    type Context = Context<Self>;
}

impl Handler<Control> for Worker {
    type Result = actix::ResponseFuture<()>;

    fn handle(&mut self, message: Control, ctx: &mut Self::Context) -> Self::Result {
        if self.is_hung && matches!(message, Control::Ping) {
            return Box::pin(std::future::pending());
        }
        message.apply(ctx);
        Box::pin(std::future::ready(()))
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Panic;

impl Handler<Panic> for Worker {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("on request");
    }
}

struct Tree {
    supervisor: Addr<Supervisor>,
    supervision: watch::Receiver<Supervision>,
    workers: watch::Receiver<Option<Addr<Worker>>>,
    metrics: Arc<Metrics>,
}

/// Starts a supervisor with one worker. Generations for which `fails` is true fail to start; those for which `hangs`
/// is true do not answer pings.
fn tree(fails: fn(u64) -> bool, hangs: fn(u64) -> bool) -> Tree {
    tree_with(limit(5, LimitAction::Exit), fails, hangs)
}

fn tree_with(config: SupervisionConfig, fails: fn(u64) -> bool, hangs: fn(u64) -> bool) -> Tree {
    let (published, workers) = watch::channel(None);
    let starts = AtomicU64::new(0);
    let start: Factory = Box::new(move |_, lifeline| {
        let generation = starts.fetch_add(1, Ordering::SeqCst) + 1;
        if fails(generation) {
            return Err("cannot start".to_owned());
        }
        let worker =
            move |_: &mut Context<Worker>| Worker { is_hung: hangs(generation), _lifeline: lifeline };
        let addr = Worker::create(worker);
        published.send_replace(Some(addr.clone()));
        Ok(addr.recipient())
    });
    let metrics = Arc::new(Metrics::new());
    let spec = ChildSpec { name: ActorName::Token, start };
    let (supervisor, supervision) = Supervisor::new(vec![spec], config, metrics.clone());
    Tree { supervisor: supervisor.start(), supervision, workers, metrics }
}

impl Tree {
    async fn generation(&mut self, wanted: u64) {
        let reached = |all: &Supervision| all.actors.iter().any(|a| a.is_running && a.generation == wanted);
        self.supervision.wait_for(reached).await.unwrap();
    }

    fn worker(&self) -> Addr<Worker> {
        self.workers.borrow().clone().unwrap()
    }

    fn restarts(&self, reason: &str) -> bool {
        let line = format!(r#"azure_kms_actor_restarts_total{{actor="token",reason="{reason}"}} 1"#);
        self.metrics.render().contains(&line)
    }
}

#[actix::test]
async fn a_panic_is_noticed_and_the_actor_is_restarted() {
    let mut tree = tree(|_| false, |_| false);
    tree.generation(1).await;
    tree.worker().do_send(Panic);
    tree.generation(2).await;
    assert!(tree.restarts("panic"));
    assert!(tree.worker().send(Control::Ping).await.is_ok());
}

#[actix::test]
async fn an_actor_that_stops_by_itself_is_restarted() {
    let mut tree = tree(|_| false, |_| false);
    tree.generation(1).await;
    tree.worker().do_send(Control::Stop);
    tree.generation(2).await;
    assert!(tree.restarts("stopped"));
}

#[actix::test]
async fn an_actor_that_fails_to_start_is_tried_again() {
    let mut tree = tree(|generation| generation == 1, |_| false);
    tree.generation(2).await;
    assert!(tree.restarts("error"));
}

#[actix::test]
async fn an_actor_that_does_not_answer_the_watchdog_is_replaced() {
    tokio::time::pause();
    let mut tree = tree(|_| false, |generation| generation == 1);
    tree.generation(2).await;
    assert!(tree.restarts("hung"));
}

#[actix::test]
async fn the_late_end_of_a_hung_actor_is_not_another_failure() {
    tokio::time::pause();
    let mut tree = tree(|_| false, |generation| generation == 1);
    tree.generation(1).await;
    let hung = tree.worker();
    tree.generation(2).await;
    hung.do_send(Control::Stop);
    tokio::time::sleep(PERIOD).await; // paused: the clock jumps
    assert_eq!(tree.supervision.borrow().actors[0].generation, 2);
    assert!(!tree.restarts("stopped"));
}

/// A message that blocks the actor's thread until the other end of the channel is dropped.
#[derive(Message)]
#[rtype(result = "()")]
struct Block(std::sync::mpsc::Receiver<()>);

impl Handler<Block> for Worker {
    type Result = ();

    fn handle(&mut self, Block(until): Block, _: &mut Self::Context) {
        let _ = until.recv();
    }
}

#[actix::test]
async fn an_actor_whose_thread_was_blocked_ends_when_it_comes_back() {
    let (published, mut workers) = watch::channel(Vec::<Addr<Worker>>::new());
    let start: Factory = Box::new(move |arbiter, lifeline| {
        let worker = Worker::start_in_arbiter(arbiter, move |ctx| {
            ctx.run_interval(PING_INTERVAL, |_, _| {}); // always busy, as the real actors are
            Worker { is_hung: false, _lifeline: lifeline }
        });
        published.send_modify(|workers| workers.push(worker.clone()));
        Ok(worker.recipient())
    });
    let spec = ChildSpec { name: ActorName::Token, start };
    let (supervisor, _supervision) =
        Supervisor::new(vec![spec], limit(5, LimitAction::Exit), Arc::new(Metrics::new()));
    let _supervisor = supervisor.start();
    workers.wait_for(|workers| workers.len() == 1).await.unwrap();
    let blocked = workers.borrow()[0].clone();
    let (unblock, until) = std::sync::mpsc::channel();
    blocked.do_send(Block(until));
    workers.wait_for(|workers| workers.len() == 2).await.unwrap();
    drop(unblock);
    while blocked.connected() {
        tokio::task::yield_now().await;
    }
}

#[actix::test]
async fn a_freeze_of_the_whole_process_is_nobody_s_failure() {
    tokio::time::pause();
    let mut tree = tree(|_| false, |_| false);
    tree.generation(1).await;
    for _ in 0..10 {
        tokio::time::advance(Duration::from_secs(60)).await; // no timer runs in between
        tokio::task::yield_now().await;
    }
    tree.worker().send(Control::Ping).await.unwrap();
    assert_eq!(tree.supervision.borrow().actors[0].generation, 1);
    assert!(!tree.restarts("hung"));
}

#[actix::test]
async fn past_the_restart_limit_the_supervisor_gives_up() {
    tokio::time::pause();
    let mut tree = tree(|_| true, |_| false);
    tree.supervision.wait_for(|all| all.gave_up.is_some()).await.unwrap();
    assert_eq!(tree.supervision.borrow().actors[0].generation, 6);
}

#[actix::test]
async fn after_giving_up_actors_are_restarted_until_the_shutdown() {
    tokio::time::pause();
    let mut tree = tree(|generation| generation <= 6, |_| false);
    tree.supervision.wait_for(|all| all.gave_up.is_some()).await.unwrap();
    tree.generation(7).await;
}

#[actix::test]
async fn to_retry_is_never_to_give_up() {
    tokio::time::pause();
    let config = limit(5, LimitAction::Retry);
    let mut tree = tree_with(config, |generation| generation <= 100, |_| false);
    tree.generation(101).await;
    assert!(tree.supervision.borrow().gave_up.is_none());
}

#[actix::test]
async fn an_actor_that_hangs_at_each_start_passes_the_limit() {
    tokio::time::pause();
    let mut tree = tree_with(limit(30, LimitAction::Exit), |_| false, |_| true);
    tree.supervision.wait_for(|all| all.gave_up.is_some()).await.unwrap();
}

#[actix::test]
async fn after_a_shutdown_nothing_is_restarted_and_the_supervisor_ends() {
    let mut tree = tree(|_| false, |_| false);
    tree.generation(1).await;
    tree.supervisor.send(Shutdown).await.unwrap();
    while tree.supervision.changed().await.is_ok() {}
    assert_eq!(tree.supervision.borrow().actors[0].generation, 1);
    assert!(!tree.supervisor.connected());
}
