//! The `ReloadActor`: activates a changed credential or trust root without a restart and without a failed call.
//!
//! Checks the files on a timer and on SIGHUP. A changed access is validated against Entra ID and the vault, and
//! published when it works; until then the old one stays active. Never on a request's path.
//!
//! It polls: a file that is mounted by itself has no event when it is replaced, and in a folder that kubelet manages
//! a symlink is swapped, far from the file.

mod files;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, AsyncContext, Context, Handler, SpawnHandle};
use async_trait::async_trait;
use backon::ExponentialBackoff;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use self::files::{FilesRead, LoadOutcome, load};
use super::subscribe::on_change;
use super::supervision::{Control, Lifeline};
use crate::backoff;
use crate::config::{Access, AccessSource, Contents};
use crate::telemetry::{LIFECYCLE, Metrics};
use crate::vault::Token;

/// The first pause before a failed reload is retried without a change of the files.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause, before jitter.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The time limit for reading the files.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The access in use, and the token from its validation.
#[derive(Clone, Debug)]
pub(crate) struct ActiveCredential {
    /// The number of reloads that led to it, 0 at the start.
    pub number: u64,
    /// The credential and the network settings.
    pub access: Arc<Access>,
    /// The token that was issued for the validation; `None` at the start, without one.
    pub token: Option<Token>,
}

/// The published outcome of reloads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReloadReport {
    /// The reason why the last change was not activated; `None` when it was, or when nothing has changed.
    pub problem: Option<String>,
    /// The time of the last successful reload.
    pub activated_at: Option<SystemTime>,
}

/// The validation of an access before it is activated.
#[async_trait]
pub(crate) trait CredentialCheck: Send + Sync {
    /// Gets a token with the access, and makes one key operation with that token. Returns the token.
    ///
    /// # Errors
    /// No token is issued, or Key Vault does not serve with it; the sentence says which of them refused, and why.
    async fn run(&self, access: &Access) -> Result<Token, String>;
}

/// The dependencies of the actor, and the state that outlives it.
#[derive(Clone)]
pub(crate) struct ReloadParts {
    /// The files from which an access is loaded.
    pub source: AccessSource,
    /// The access in use.
    pub active: Arc<watch::Sender<ActiveCredential>>,
    /// The published outcome.
    pub report: Arc<watch::Sender<ReloadReport>>,
    /// The validation of a changed access.
    pub check: Arc<dyn CredentialCheck>,
    /// The time between two checks of the files.
    pub interval: Duration,
    /// The number of SIGHUPs.
    pub requests: watch::Receiver<u64>,
    /// The metrics that count reloads.
    pub metrics: Arc<Metrics>,
}

/// One generation of the watcher. The contents in use are part of the published access, so they outlive it.
pub(crate) struct ReloadActor {
    parts: ReloadParts,
    /// The contents whose reload failed last: tried again when the pause is over, and not by the timer.
    failed: Option<Contents>,
    is_reloading: bool,
    /// Set when a forced reload is due during another one.
    is_reload_pending: bool,
    pauses: ExponentialBackoff,
    retry: Option<SpawnHandle>,
    warned_files: HashSet<PathBuf>,
    lifeline: Lifeline,
}

/// The outcome of one reload.
enum ReloadOutcome {
    /// The contents are in use, or their reload has failed before.
    Unchanged,
    Validated(ActiveCredential),
    Failed(Contents, String),
}

impl ReloadActor {
    /// Creates an actor that publishes to `parts`.
    pub(crate) fn new(parts: ReloadParts, lifeline: Lifeline) -> Self {
        Self {
            parts,
            failed: None,
            is_reloading: false,
            is_reload_pending: false,
            pauses: pauses(),
            retry: None,
            warned_files: HashSet::new(),
            lifeline,
        }
    }

    /// Reloads on the timer, if the files have changed.
    fn poll(&mut self, ctx: &mut Context<Self>) {
        ctx.run_later(self.parts.interval, Self::poll);
        if !self.is_reloading {
            self.reload(false, ctx);
        }
    }

    /// Reloads on SIGHUP or after the pause that follows a failure, even if the files have not changed: at once, or when
    /// the reload in progress has ended.
    fn force_reload(&mut self, ctx: &mut Context<Self>) {
        if self.is_reloading {
            self.is_reload_pending = true;
        } else {
            self.reload(true, ctx);
        }
    }

    /// Reads and validates the files. They are read on a thread of their own, and within a time limit, because a disk
    /// may be slow.
    fn reload(&mut self, is_forced: bool, ctx: &mut Context<Self>) {
        self.is_reloading = true;
        let (source, active) = (self.parts.source.clone(), self.parts.active.borrow().clone());
        let failed = self.failed.clone();
        let number = active.number + 1;
        let loading = spawn_blocking(move || load(&source, &active.access, failed.as_ref(), is_forced));
        let check = self.parts.check.clone();
        let reloaded = async move {
            let unread =
                |problem: &str| (Vec::new(), ReloadOutcome::Failed(Contents::new(), problem.to_owned()));
            match timeout(READ_TIMEOUT, loading).await {
                Ok(Ok(FilesRead { stale_mounts, outcome })) => {
                    (stale_mounts, validate(outcome, number, &*check).await)
                }
                Ok(Err(_)) => unread("the files cannot be read"),
                Err(_) => unread("the files cannot be read in time"),
            }
        };
        ctx.spawn(wrap_future(reloaded).map(|(stale_mounts, outcome), actor: &mut Self, ctx| {
            actor.warn_of(stale_mounts);
            actor.end_reload(outcome, ctx);
        }));
    }

    fn end_reload(&mut self, outcome: ReloadOutcome, ctx: &mut Context<Self>) {
        self.is_reloading = false;
        match outcome {
            ReloadOutcome::Unchanged if self.failed.is_none() => self.clear_problem(),
            ReloadOutcome::Unchanged => {}
            ReloadOutcome::Validated(active) => self.activate(active, ctx),
            ReloadOutcome::Failed(contents, problem) => self.reject(contents, problem, ctx),
        }
        if std::mem::take(&mut self.is_reload_pending) {
            self.reload(true, ctx);
        }
    }

    fn activate(&mut self, active: ActiveCredential, ctx: &mut Context<Self>) {
        self.cancel_retry(ctx);
        (self.failed, self.pauses) = (None, pauses());
        let credential = active.access.credential.kind();
        if !self.lifeline.publish(&self.parts.active, |published| *published = active) {
            return;
        }
        let report = ReloadReport { problem: None, activated_at: Some(SystemTime::now()) };
        self.lifeline.publish(&self.parts.report, |published| *published = report);
        self.parts.metrics.reloaded(true);
        tracing::info!(target: LIFECYCLE, credential, "Credential reloaded");
    }

    fn reject(&mut self, contents: Contents, problem: String, ctx: &mut Context<Self>) {
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
        self.retry = Some(ctx.run_later(pause, Self::force_reload));
    }

    /// Clears the problem that an earlier generation reported with a change that was undone since.
    fn clear_problem(&self) {
        if self.parts.report.borrow().problem.is_some() {
            self.lifeline.publish(&self.parts.report, |published| published.problem = None);
        }
    }

    fn cancel_retry(&mut self, ctx: &mut Context<Self>) {
        if let Some(retry) = self.retry.take() {
            ctx.cancel_future(retry);
        }
    }

    /// Warns once of each file that is mounted by itself, and not with its folder: it keeps its content when it is
    /// replaced outside of the mount.
    fn warn_of(&mut self, stale_mounts: Vec<PathBuf>) {
        for file in stale_mounts {
            if self.warned_files.insert(file.clone()) {
                let path = file.display().to_string();
                tracing::warn!(target: LIFECYCLE, path, "Replaced outside of this mount: mount the folder, not the file");
            }
        }
    }
}

async fn validate(loaded: LoadOutcome, number: u64, check: &dyn CredentialCheck) -> ReloadOutcome {
    match loaded {
        LoadOutcome::Unchanged => ReloadOutcome::Unchanged,
        LoadOutcome::Invalid(contents, problem) => ReloadOutcome::Failed(contents, problem),
        LoadOutcome::Loaded(access) => match check.run(&access).await {
            Ok(token) => ReloadOutcome::Validated(ActiveCredential { number, access, token: Some(token) }),
            Err(problem) => ReloadOutcome::Failed(access.contents.clone(), problem),
        },
    }
}

fn pauses() -> ExponentialBackoff {
    backoff::jittered(FIRST_PAUSE, LONGEST_PAUSE)
}

impl Actor for ReloadActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        on_change(self.parts.requests.clone(), Self::force_reload, ctx);
        ctx.run_later(self.parts.interval, Self::poll);
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
