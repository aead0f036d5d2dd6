//! The `ReloadActor`: takes over a changed credential or trust root without a restart and without a failed call.
//!
//! Looks at the files on a timer and on SIGHUP. What it reads is tried against Entra ID and the vault first, and
//! published when it works; until then the old one stays. Never on a request's path.
//!
//! It polls: a file that is mounted by itself shows no event when it is replaced, and a folder that kubelet manages
//! swaps a symlink far from the file.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, AsyncContext, Context, Handler, SpawnHandle};
use async_trait::async_trait;
use backon::ExponentialBackoff;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::subscribe::on_change;
use super::supervision::{Control, Lifeline};
use crate::backoff;
use crate::config::{Access, AccessSource, Contents};
use crate::telemetry::{LIFECYCLE, Metrics};
use crate::vault::Token;

/// The first pause before a failed reload is tried again, though no file has changed.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest, before jitter.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long reading the files may take.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The access in use, and the token that showed that it works.
#[derive(Clone, Debug)]
pub(crate) struct ActiveCredential {
    /// Counts what was taken over, from 0 at the start.
    pub number: u64,
    /// Credential and network.
    pub access: Arc<Access>,
    /// `None` at the start, when nothing was tried yet.
    pub token: Option<Token>,
}

/// What came of the last change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReloadReport {
    /// Why it was not taken over; `None` when it was, or when nothing has changed.
    pub problem: Option<String>,
    /// When a change was last taken over.
    pub taken_over: Option<SystemTime>,
}

/// Tries an access before it is taken over.
#[async_trait]
pub(crate) trait CredentialCheck: Send + Sync {
    /// Gets a token with it, and makes one key operation with that token.
    ///
    /// # Errors
    /// A sentence that says who refused what.
    async fn run(&self, access: &Access) -> Result<Token, String>;
}

/// What the actor needs, and what outlives it.
#[derive(Clone)]
pub(crate) struct ReloadParts {
    /// Where an access comes from.
    pub source: AccessSource,
    /// Where it goes.
    pub active: Arc<watch::Sender<ActiveCredential>>,
    /// What came of it.
    pub report: Arc<watch::Sender<ReloadReport>>,
    /// How it is tried.
    pub trial: Arc<dyn CredentialCheck>,
    /// The time between two looks.
    pub interval: Duration,
    /// Changes with every SIGHUP.
    pub requests: watch::Receiver<u64>,
    /// Counts reloads.
    pub metrics: Arc<Metrics>,
}

/// One generation of the watcher. Which content is in use is part of what is published, so nothing is forgotten with it.
pub(crate) struct ReloadActor {
    parts: ReloadParts,
    /// What failed last: not tried again for itself, only when the pause is over.
    failed: Option<Contents>,
    trying: bool,
    /// SIGHUP came while something else was tried.
    again: bool,
    pauses: ExponentialBackoff,
    retry: Option<SpawnHandle>,
    warned_of: HashSet<PathBuf>,
    lifeline: Lifeline,
}

/// What came of one look at the files.
enum ReloadOutcome {
    /// They hold what is in use, or what has failed already.
    Unchanged,
    Tried(ActiveCredential),
    Failed(Contents, String),
}

impl ReloadActor {
    /// A watcher.
    pub(crate) fn new(parts: ReloadParts, lifeline: Lifeline) -> Self {
        Self {
            parts,
            failed: None,
            trying: false,
            again: false,
            pauses: pauses(),
            retry: None,
            warned_of: HashSet::new(),
            lifeline,
        }
    }

    /// The timer: tries what has changed.
    fn watch(&mut self, ctx: &mut Context<Self>) {
        ctx.run_later(self.parts.interval, Self::watch);
        if !self.trying {
            self.look(false, ctx);
        }
    }

    /// SIGHUP: tries, whatever has changed.
    fn requested(&mut self, ctx: &mut Context<Self>) {
        match self.trying {
            true => self.again = true,
            false => self.look(true, ctx),
        }
    }

    /// The pause after a failure is over.
    fn retry(&mut self, ctx: &mut Context<Self>) {
        if !self.trying {
            self.look(true, ctx);
        }
    }

    /// Files are read where a slow disk harms nobody, and not for ever.
    fn look(&mut self, always: bool, ctx: &mut Context<Self>) {
        self.trying = true;
        let (source, in_use) = (self.parts.source.clone(), self.parts.active.borrow().clone());
        let failed = self.failed.clone();
        let reading = spawn_blocking(move || read(&source, &in_use, failed.as_ref(), always));
        let trial = self.parts.trial.clone();
        let looked = async move {
            let unread =
                |problem: &str| (Vec::new(), ReloadOutcome::Failed(Contents::new(), problem.to_owned()));
            match timeout(READ_TIMEOUT, reading).await {
                Ok(Ok(Read { single_files, outcome })) => (single_files, tried(outcome, &*trial).await),
                Ok(Err(_)) => unread("the files cannot be read"),
                Err(_) => unread("the files cannot be read in time"),
            }
        };
        ctx.spawn(wrap_future(looked).map(|(single_files, looked), actor: &mut Self, ctx| {
            actor.warn_of(single_files);
            actor.looked(looked, ctx);
        }));
    }

    fn looked(&mut self, looked: ReloadOutcome, ctx: &mut Context<Self>) {
        self.trying = false;
        match looked {
            ReloadOutcome::Unchanged if self.failed.is_none() => self.nothing_failed(),
            ReloadOutcome::Unchanged => {}
            ReloadOutcome::Tried(active) => self.take_over(active, ctx),
            ReloadOutcome::Failed(contents, problem) => self.keep(contents, problem, ctx),
        }
        if std::mem::take(&mut self.again) {
            self.look(true, ctx);
        }
    }

    fn take_over(&mut self, active: ActiveCredential, ctx: &mut Context<Self>) {
        self.cancel_retry(ctx);
        (self.failed, self.pauses) = (None, pauses());
        let credential = active.access.credential.kind();
        if !self.lifeline.publish(&self.parts.active, |published| *published = active) {
            return;
        }
        let report = ReloadReport { problem: None, taken_over: Some(SystemTime::now()) };
        self.lifeline.publish(&self.parts.report, |published| *published = report);
        self.parts.metrics.reloaded(true);
        tracing::info!(target: LIFECYCLE, credential, "Credential reloaded");
    }

    fn keep(&mut self, contents: Contents, problem: String, ctx: &mut Context<Self>) {
        self.cancel_retry(ctx);
        if self.failed.as_ref() != Some(&contents) {
            self.pauses = pauses();
        }
        self.failed = Some(contents);
        let pause = self.pauses.next().unwrap_or(LONGEST_PAUSE);
        let retry_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        tracing::error!(target: LIFECYCLE, err = problem, retry_in_ms, "Reload failed, the old credential stays");
        self.lifeline.publish(&self.parts.report, |published| published.problem = Some(problem));
        self.parts.metrics.reloaded(false);
        self.retry = Some(ctx.run_later(pause, Self::retry));
    }

    /// An earlier generation may have reported a change that was undone since.
    fn nothing_failed(&self) {
        if self.parts.report.borrow().problem.is_some() {
            self.lifeline.publish(&self.parts.report, |published| published.problem = None);
        }
    }

    fn cancel_retry(&mut self, ctx: &mut Context<Self>) {
        if let Some(retry) = self.retry.take() {
            ctx.cancel_future(retry);
        }
    }

    /// A file that is mounted by itself, and not with its folder, stays what it was when it is replaced outside.
    fn warn_of(&mut self, single_files: Vec<PathBuf>) {
        for file in single_files {
            if self.warned_of.insert(file.clone()) {
                let path = file.display().to_string();
                tracing::warn!(target: LIFECYCLE, path, "Replaced outside of this mount: mount the folder, not the file");
            }
        }
    }
}

/// What the files gave.
struct Read {
    /// Files that were replaced outside of their mount.
    single_files: Vec<PathBuf>,
    outcome: Outcome,
}

enum Outcome {
    Unchanged,
    Loaded(u64, Arc<Access>),
    Broken(Contents, String),
}

/// Reads the files if they hold neither what is in use nor what has failed, or anyway if that is `always` wanted.
fn read(source: &AccessSource, in_use: &ActiveCredential, failed: Option<&Contents>, always: bool) -> Read {
    let contents = source.contents(&in_use.access);
    let single_files = source.files(&in_use.access).into_iter().filter(|file| is_replaced(file)).collect();
    let known = contents == in_use.access.contents || Some(&contents) == failed;
    if known && !always {
        return Read { single_files, outcome: Outcome::Unchanged };
    }
    let outcome = match source.load() {
        Ok(access) => Outcome::Loaded(in_use.number + 1, Arc::new(access)),
        Err(problems) => Outcome::Broken(contents, problems.0.join("; ")),
    };
    Read { single_files, outcome }
}

async fn tried(outcome: Outcome, trial: &dyn CredentialCheck) -> ReloadOutcome {
    match outcome {
        Outcome::Unchanged => ReloadOutcome::Unchanged,
        Outcome::Broken(contents, problem) => ReloadOutcome::Failed(contents, problem),
        Outcome::Loaded(number, access) => match trial.run(&access).await {
            Ok(token) => ReloadOutcome::Tried(ActiveCredential { number, access, token: Some(token) }),
            Err(problem) => ReloadOutcome::Failed(access.contents.clone(), problem),
        },
    }
}

fn is_replaced(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| metadata.nlink() == 0)
}

fn pauses() -> ExponentialBackoff {
    backoff::jittered(FIRST_PAUSE, LONGEST_PAUSE)
}

impl Actor for ReloadActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        on_change(self.parts.requests.clone(), Self::requested, ctx);
        ctx.run_later(self.parts.interval, Self::watch);
    }
}

impl Handler<Control> for ReloadActor {
    type Result = ();

    fn handle(&mut self, message: Control, ctx: &mut Self::Context) {
        message.apply(ctx);
    }
}

#[cfg(test)]
mod tests;
