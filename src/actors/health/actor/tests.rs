//! The prober against a scripted socket, in paused time.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::Addr;
use async_trait::async_trait;
use tokio::time::sleep;

use super::*;
use crate::actors::supervision::{ActorName, no_supervisor};
use crate::telemetry::capture_logs;

const INTERVAL: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);

/// A socket whose round trips fail with the scripted errors, then succeed. Records the time of each.
#[derive(Default)]
struct Script {
    failures: Mutex<VecDeque<KmsError>>,
    round_trips: Mutex<Vec<Instant>>,
    is_socket_closed: AtomicBool,
}

struct Client(Arc<Script>);

#[async_trait]
impl SocketClient for Client {
    async fn version(&mut self) -> Result<(), KmsError> {
        if self.0.is_socket_closed.load(Ordering::SeqCst) {
            return Err(KmsError::new(Code::Unavailable, "the socket unix:///x: No such file or directory"));
        }
        Ok(())
    }

    async fn status(&mut self) -> Result<(), KmsError> {
        Ok(())
    }

    async fn round_trip(&mut self, _: Api) -> Result<(), KmsError> {
        self.0.round_trips.lock().unwrap().push(Instant::now());
        sleep(Duration::from_millis(10)).await;
        self.0.failures.lock().unwrap().pop_front().map_or(Ok(()), Err)
    }
}

struct Bench {
    script: Arc<Script>,
    passive_health: Arc<PassiveHealth>,
    report: watch::Receiver<HealthReport>,
    _actor: Addr<HealthActor>,
    _draining: watch::Sender<bool>,
}

fn bench() -> Bench {
    tokio::time::pause();
    let (script, passive_health) = (Arc::new(Script::default()), Arc::new(PassiveHealth::none()));
    let (published, report) = watch::channel(HealthReport::default());
    let (draining_sender, draining) = watch::channel(false);
    let client = script.clone();
    let parts = HealthParts {
        connect: Arc::new(move || Box::new(Client(client.clone()))),
        interval: INTERVAL,
        timeout: Duration::from_secs(20),
        passive_health: passive_health.clone(),
        published: Arc::new(published),
        draining,
    };
    let actor = HealthActor::new(parts, Lifeline::new(ActorName::Health, 1, no_supervisor())).start();
    Bench { script, passive_health, report, _actor: actor, _draining: draining_sender }
}

/// Starts an actor, and waits until it has found both APIs healthy.
async fn healthy_bench() -> Bench {
    let mut bench = bench();
    bench.healthy().await;
    sleep(2 * INTERVAL).await;
    bench
}

impl Bench {
    fn fail(&self, code: Code, times: usize) {
        let failures = std::iter::repeat_n(KmsError::new(code, "down"), times);
        self.script.failures.lock().unwrap().extend(failures);
    }

    fn round_trips(&self) -> usize {
        self.script.round_trips.lock().unwrap().len()
    }

    async fn healthy(&mut self) {
        self.report.wait_for(|report| report.is_complete() && report.problem().is_none()).await.unwrap();
    }

    async fn unhealthy(&mut self) {
        self.report.wait_for(|report| report.is_complete() && report.problem().is_some()).await.unwrap();
    }
}

#[actix::test]
async fn an_idle_plugin_makes_at_most_240_calls_an_hour() {
    let bench = bench();
    sleep(HOUR).await;
    let first = 2 * bench.round_trips() + 1; // Encrypt and Decrypt, and the key that is read at the start
    assert!((120..=240).contains(&first), "{first}");
    sleep(HOUR).await;
    let second = 2 * bench.round_trips() + 1 - first;
    assert!((120..=240).contains(&second), "{second}");
}

#[actix::test]
async fn real_traffic_on_both_apis_spares_every_probe() {
    let mut bench = bench();
    bench.healthy().await;
    sleep(2 * INTERVAL).await; // v1 and v2 were probed
    let before = bench.round_trips();
    for _ in 0..360 {
        for api in [Api::V1, Api::V2] {
            bench.passive_health.encrypted(api);
            bench.passive_health.decrypted(api);
        }
        sleep(INTERVAL).await;
    }
    assert_eq!(bench.round_trips(), before);
}

#[actix::test]
async fn traffic_on_one_api_spares_that_api_s_probes_only() {
    let bench = healthy_bench().await;
    let before = bench.round_trips();
    for _ in 0..360 {
        bench.passive_health.encrypted(Api::V1);
        bench.passive_health.decrypted(Api::V1);
        sleep(INTERVAL).await;
    }
    let probed = bench.round_trips() - before;
    assert!((40..=50).contains(&probed), "{probed}");
}

#[actix::test]
async fn one_failed_probe_is_repeated_soon_and_does_not_turn_the_report_red() {
    let bench = healthy_bench().await;
    bench.fail(Code::Unavailable, 2);
    let before = bench.round_trips();
    let mut report = bench.report.clone();
    let never_red = async move { report.wait_for(|report| report.problem().is_some()).await.map(drop) };
    assert!(timeout(8 * INTERVAL, never_red).await.is_err());
    assert!(bench.round_trips() >= before + 3);
}

#[actix::test]
async fn three_failures_turn_it_red_and_the_next_success_green() {
    let mut bench = healthy_bench().await;
    bench.fail(Code::Unavailable, 4);
    bench.unhealthy().await;
    let red = Instant::now();
    bench.healthy().await;
    assert!(red.elapsed() < 5 * RECHECK_PAUSE, "{:?}", red.elapsed());
}

#[actix::test]
async fn a_failing_call_of_a_client_is_looked_at_within_a_second() {
    let mut bench = bench();
    bench.healthy().await;
    sleep(INTERVAL * 3 / 2).await;
    let before = bench.round_trips();
    for _ in 0..1000 {
        bench.passive_health.failed();
    }
    sleep(RECHECK_PAUSE + Duration::from_millis(50)).await;
    assert_eq!(bench.round_trips(), before + 1);
}

#[actix::test]
async fn an_outage_of_hours_is_probed_at_the_interval() {
    let mut bench = bench();
    bench.fail(Code::Unavailable, 100_000);
    bench.unhealthy().await;
    sleep(HOUR).await;
    let probes = bench.round_trips();
    assert!((360..=420).contains(&probes), "{probes}");
}

#[actix::test]
async fn a_probe_that_is_crowded_out_by_real_traffic_is_no_failure() {
    let bench = healthy_bench().await;
    bench.fail(Code::ResourceExhausted, 1000);
    let red = async {
        let mut report = bench.report.clone();
        report.wait_for(|report| report.problem().is_some()).await.map(drop)
    };
    let decrypts = async {
        loop {
            bench.passive_health.decrypted(Api::V1);
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = red => panic!("it is red"),
        () = decrypts => {}
        () = sleep(12 * INTERVAL) => {}
    }
}

#[actix::test]
async fn what_was_shown_before_a_failure_does_not_make_up_for_it() {
    let mut bench = healthy_bench().await;
    for api in [Api::V1, Api::V2] {
        bench.passive_health.encrypted(api);
        bench.passive_health.decrypted(api);
    }
    sleep(2 * RECHECK_PAUSE).await;
    bench.fail(Code::Unavailable, 3);
    bench.passive_health.failed();
    timeout(6 * RECHECK_PAUSE, bench.unhealthy()).await.unwrap();
}

#[actix::test]
async fn when_the_socket_is_gone_key_vault_is_neither_asked_nor_blamed() {
    let (_guard, log) = capture_logs();
    let mut bench = healthy_bench().await;
    bench.script.is_socket_closed.store(true, Ordering::SeqCst);
    sleep(2 * INTERVAL).await;
    bench.unhealthy().await;
    let before = bench.round_trips();
    sleep(HOUR).await;
    assert_eq!((bench.round_trips(), bench.report.borrow().key_vault()), (before, Ok(())));
    assert!(log.lock().unwrap().contains("\"Unhealthy\" err=\"grpc-socket: the socket unix:///x: "));
    bench.script.is_socket_closed.store(false, Ordering::SeqCst);
    bench.healthy().await;
}

#[actix::test]
async fn a_socket_that_was_never_there_is_told_of() {
    let (_guard, log) = capture_logs();
    let bench = bench();
    bench.script.is_socket_closed.store(true, Ordering::SeqCst);
    sleep(INTERVAL).await;
    assert_eq!(log.lock().unwrap().matches("\"Unhealthy\"").count(), 1);
}

#[actix::test]
async fn each_reason_is_told_once_and_so_is_the_end() {
    let (_guard, log) = capture_logs();
    let mut bench = bench();
    let reasons =
        (0..20).map(|n| ("unreachable", format!("v1 Encrypt: down, {n} attempts in {n}.5 s (Unavailable)")));
    let reasons =
        reasons.chain((0..20).map(|_| ("timed_out", "v1 Encrypt: silent (Unavailable)".to_owned())));
    let failures = reasons.map(|(kind, reason)| KmsError::new(Code::Unavailable, reason).of_kind(kind));
    bench.script.failures.lock().unwrap().extend(failures);
    bench.unhealthy().await;
    bench.healthy().await;
    let log = log.lock().unwrap();
    let count = |text: &str| log.matches(text).count();
    assert_eq!(
        (count("\"Unhealthy\""), count("down"), count("silent"), count("\"Healthy\"")),
        (2, 1, 1, 1),
        "{log}"
    );
}
