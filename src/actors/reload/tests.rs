//! Files that change, against a scripted credential check, in paused time.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use actix::Addr;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::super::supervision::{ActorName, no_supervisor};
use super::*;
use crate::config::NetworkConfig;

const INTERVAL: Duration = Duration::from_secs(10);
/// A time that counts as none: paused timers end on whole milliseconds.
const INSTANT: Duration = Duration::from_millis(10);
const MACHINE: &str = r#"{"useManagedIdentityExtension":true}"#;
const USER: &str = r#"{"useManagedIdentityExtension":true,"userAssignedIdentityID":"u"}"#;

/// A check that refuses `refusals` times, then returns a token. Each takes `duration`.
#[derive(Default)]
struct Script {
    refusals: Mutex<u32>,
    checks: AtomicUsize,
    duration: Mutex<Duration>,
}

#[async_trait]
impl CredentialCheck for Script {
    async fn run(&self, _: &Access) -> Result<Token, String> {
        self.checks.fetch_add(1, Ordering::SeqCst);
        let duration = *self.duration.lock().unwrap();
        sleep(duration).await;
        let mut refusals = self.refusals.lock().unwrap();
        if *refusals > 0 {
            *refusals -= 1;
            return Err("refused".into());
        }
        Ok(Token::new(0, "tried".into(), SystemTime::now() + Duration::from_secs(3600)))
    }
}

struct Bench {
    folder: TempDir,
    script: Arc<Script>,
    active: watch::Receiver<ActiveCredential>,
    report: watch::Receiver<ReloadReport>,
    hangups: watch::Sender<u64>,
    parts: ReloadParts,
    actor: Addr<ReloadActor>,
}

fn bench(write: impl FnOnce(&Path)) -> Bench {
    tokio::time::pause();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let config_file = folder.path().join("azure.json");
    let source = AccessSource {
        config_file,
        ca_files: Vec::new(),
        network: NetworkConfig::default(),
        env: Arc::new(|_| None),
    };
    let access = Arc::new(source.load().unwrap());
    let active = Arc::new(watch::Sender::new(ActiveCredential { number: 0, access, token: None }));
    let (hangups, requests) = watch::channel(0);
    let (script, metrics) = (Arc::new(Script::default()), Arc::new(Metrics::new()));
    let (changes, reports) = (active.subscribe(), watch::channel(ReloadReport::default()));
    let (check, interval, report) = (script.clone(), INTERVAL, Arc::new(reports.0));
    let parts = ReloadParts { source, active, report, check, interval, requests, metrics };
    let actor = start(&parts);
    Bench { folder, script, active: changes, report: reports.1, hangups, parts, actor }
}

fn start(parts: &ReloadParts) -> Addr<ReloadActor> {
    ReloadActor::new(parts.clone(), Lifeline::new(ActorName::Reload, 1, no_supervisor())).start()
}

fn plain() -> Bench {
    bench(|folder| fs::write(folder.join("azure.json"), MACHINE).unwrap())
}

impl Bench {
    fn write(&self, content: &str) {
        fs::write(self.folder.path().join("azure.json"), content).unwrap();
    }

    fn checks(&self) -> usize {
        self.script.checks.load(Ordering::SeqCst)
    }

    /// Waits for the next reload, and returns the kind of the active credential.
    async fn reloaded(&mut self) -> &'static str {
        self.active.changed().await.unwrap();
        self.active.borrow_and_update().access.credential.kind()
    }

    fn is_unchanged(&self) -> bool {
        !self.active.has_changed().unwrap()
    }
}

#[actix::test]
async fn what_came_of_a_change_is_reported_until_the_next_one() {
    let mut bench = plain();
    *bench.script.refusals.lock().unwrap() = 1;
    bench.write(USER);
    bench.report.changed().await.unwrap();
    let refused = ReloadReport { problem: Some("refused".into()), activated_at: None };
    assert_eq!(*bench.report.borrow_and_update(), refused);
    bench.report.changed().await.unwrap(); // the next try works
    let reloaded = bench.report.borrow().clone();
    assert!(reloaded.problem.is_none() && reloaded.activated_at.is_some(), "{reloaded:?}");
}

#[actix::test]
async fn a_change_that_was_undone_while_no_actor_was_there_is_no_problem_any_more() {
    let mut bench = plain();
    let problem = Some("refused".to_owned());
    bench.parts.report.send_replace(ReloadReport { problem, activated_at: None });
    bench.report.mark_unchanged();
    let _next = start(&bench.parts);
    bench.report.changed().await.unwrap();
    assert_eq!(*bench.report.borrow(), ReloadReport::default());
}

#[actix::test]
async fn a_changed_file_is_tried_and_taken_over_with_its_token() {
    let mut bench = plain();
    bench.write(USER);
    assert_eq!(bench.reloaded().await, "user-assigned managed identity");
    assert_eq!(bench.active.borrow().token.as_ref().unwrap().expose(), "tried");
}

#[actix::test]
async fn files_that_do_not_change_are_not_tried() {
    let bench = plain();
    bench.write(MACHINE); // the same content, another time
    sleep(10 * INTERVAL).await;
    assert_eq!(bench.checks(), 0);
}

#[actix::test]
async fn an_atomic_rename_and_a_swapped_symlink_are_seen() {
    let mut bench = bench(|folder| {
        fs::create_dir(folder.join("1")).unwrap();
        fs::write(folder.join("1/azure.json"), MACHINE).unwrap();
        std::os::unix::fs::symlink("1", folder.join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/azure.json", folder.join("azure.json")).unwrap();
    });
    let path = bench.folder.path().to_owned();
    fs::create_dir(path.join("2")).unwrap();
    fs::write(path.join("2/azure.json"), USER).unwrap();
    std::os::unix::fs::symlink("2", path.join("..new")).unwrap();
    fs::rename(path.join("..new"), path.join("..data")).unwrap();
    assert_eq!(bench.reloaded().await, "user-assigned managed identity");
    fs::write(path.join("new"), MACHINE).unwrap();
    fs::rename(path.join("new"), path.join("azure.json")).unwrap();
    assert_eq!(bench.reloaded().await, "system-assigned managed identity");
}

#[actix::test]
async fn what_does_not_work_is_not_taken_over_and_is_tried_again() {
    let mut bench = plain();
    *bench.script.refusals.lock().unwrap() = 3;
    bench.write(USER);
    let start = Instant::now();
    bench.reloaded().await;
    assert_eq!(bench.checks(), 4);
    // 5 + 10 + 20 s at least
    assert!(start.elapsed() >= Duration::from_secs(35), "{:?}", start.elapsed());
}

#[actix::test]
async fn a_retry_that_is_due_while_the_timer_reads_the_files_is_not_lost() {
    let bench = plain();
    let (parts, last_retry) = (bench.parts.clone(), 2 * FIRST_PAUSE);
    let _actor = ReloadActor::create(|ctx| {
        let mut actor = ReloadActor::new(parts, Lifeline::new(ActorName::Reload, 1, no_supervisor()));
        actor.reject(Contents::new(), "refused".into(), ctx);
        actor.is_reloading = true;
        ctx.run_later(last_retry, |actor, ctx| actor.end_reload(ReloadOutcome::Unchanged, ctx));
        actor
    });
    sleep(last_retry + Duration::from_secs(1)).await;
    assert_eq!(bench.checks(), 1);
}

#[actix::test]
async fn a_broken_or_missing_file_keeps_the_old_credential_until_it_is_mended() {
    let mut bench = plain();
    for broken in ["{", "", "{}", r#"{"cloud":"AzureMoonCloud"}"#] {
        bench.write(broken);
        sleep(2 * INTERVAL).await;
        assert!(bench.is_unchanged(), "{broken:?}");
    }
    fs::remove_file(bench.folder.path().join("azure.json")).unwrap();
    sleep(2 * INTERVAL).await;
    assert!(bench.is_unchanged() && bench.checks() == 0);
    bench.write(USER);
    assert_eq!(bench.reloaded().await, "user-assigned managed identity");
}

#[actix::test]
async fn sighup_reloads_at_once_though_nothing_has_changed() {
    let mut bench = plain();
    tokio::task::yield_now().await;
    let start = Instant::now();
    bench.hangups.send_replace(1);
    bench.reloaded().await;
    assert!(start.elapsed() < INSTANT, "{:?}", start.elapsed());
}

#[actix::test]
async fn the_files_of_the_new_credential_are_watched_from_then_on() {
    let mut bench = plain();
    let token = bench.folder.path().join("token");
    fs::write(&token, "first").unwrap();
    let json = format!(
        r#"{{"useFederatedWorkloadIdentityExtension":true,"aadFederatedTokenFile":"{}","aadClientId":"c","tenantId":"t"}}"#,
        token.display()
    );
    bench.write(&json);
    assert_eq!(bench.reloaded().await, "workload identity");
    sleep(5 * INTERVAL).await;
    assert_eq!(bench.checks(), 1);
    fs::write(&token, "second").unwrap();
    assert_eq!(bench.reloaded().await, "workload identity");
}

#[actix::test]
async fn a_change_that_was_being_tried_when_the_actor_ended_is_tried_by_the_next_one() {
    let mut bench = plain();
    *bench.script.duration.lock().unwrap() = 2 * INTERVAL;
    bench.write(USER);
    sleep(INTERVAL + Duration::from_secs(1)).await;
    assert_eq!(bench.checks(), 1);
    bench.actor.do_send(Control::Stop);
    let _next = start(&bench.parts);
    assert_eq!(bench.reloaded().await, "user-assigned managed identity");
}

#[actix::test]
async fn a_write_and_a_sighup_during_a_trial_are_not_lost() {
    let mut bench = plain();
    *bench.script.duration.lock().unwrap() = 2 * INTERVAL;
    bench.write(USER);
    sleep(INTERVAL + Duration::from_secs(1)).await;
    bench.write(MACHINE);
    bench.hangups.send_replace(1);
    assert_eq!(bench.reloaded().await, "user-assigned managed identity");
    let first = Instant::now();
    assert_eq!(bench.reloaded().await, "system-assigned managed identity");
    let waited = first.elapsed(); // the second check began when the first ended
    assert!(waited >= 2 * INTERVAL && waited < 2 * INTERVAL + INSTANT, "{waited:?}");
}
