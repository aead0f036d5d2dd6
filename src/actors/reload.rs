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
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, AsyncContext, Context, Handler, SpawnHandle};
use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use backon::ExponentialBackoff;
use tokio::sync::watch;

use super::control::{Control, Lifeline};
use super::watching::on_change;
use crate::backoff;
use crate::config::{Access, AccessSource};
use crate::telemetry::{LIFECYCLE, Metrics};
use crate::vault::Token;

/// The first pause before a failed reload is tried again, though no file has changed.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest, before jitter.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The access in use, and the token that showed that it works.
#[derive(Clone, Debug)]
pub(crate) struct Supply {
    /// Credential and network.
    pub access: Arc<Access>,
    /// `None` at the start, when nothing was tried yet.
    pub token: Option<Token>,
}

/// Tries an access before it is taken over.
#[async_trait]
pub(crate) trait Trial: Send + Sync {
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
    pub supply: Arc<watch::Sender<Supply>>,
    /// How it is tried.
    pub trial: Arc<dyn Trial>,
    /// The time between two looks.
    pub interval: Duration,
    /// Changes with every SIGHUP.
    pub requests: watch::Receiver<u64>,
    /// Counts reloads.
    pub metrics: Arc<Metrics>,
}

/// One generation of the watcher.
pub(crate) struct ReloadActor {
    parts: ReloadParts,
    seen: Vec<Content>,
    trying: bool,
    pauses: ExponentialBackoff,
    retry: Option<SpawnHandle>,
    warned_of: HashSet<PathBuf>,
    _lifeline: Lifeline,
}

/// The hash of a file's content; `None` while it cannot be read.
type Content = Option<[u8; 32]>;

impl ReloadActor {
    /// A watcher that takes the files as they are now for those in use.
    pub(crate) fn new(parts: ReloadParts, lifeline: Lifeline) -> Self {
        let mut actor = Self {
            parts,
            seen: Vec::new(),
            trying: false,
            pauses: pauses(),
            retry: None,
            warned_of: HashSet::new(),
            _lifeline: lifeline,
        };
        actor.seen = actor.contents();
        actor
    }

    fn files(&self) -> Vec<PathBuf> {
        self.parts.source.files(&self.parts.supply.borrow().access)
    }

    fn contents(&self) -> Vec<Content> {
        self.files().iter().map(|file| content(file)).collect()
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        ctx.run_later(self.parts.interval, Self::look);
        self.warn_of_single_file_mounts();
        if self.contents() != self.seen {
            self.reload(ctx);
        }
    }

    /// Reads and tries, now. A reload that is under way goes on instead, and a change it missed is seen after it.
    fn reload(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.trying, true) {
            return;
        }
        if let Some(retry) = self.retry.take() {
            ctx.cancel_future(retry);
        }
        let contents = self.contents();
        if contents != self.seen {
            self.pauses = pauses();
        }
        self.seen = contents;
        let (source, trial) = (self.parts.source.clone(), self.parts.trial.clone());
        let tried = async move {
            let access = source.load().map_err(|problems| problems.0.join("; "))?;
            let token = trial.run(&access).await?;
            Ok(Supply { access: Arc::new(access), token: Some(token) })
        };
        ctx.spawn(wrap_future(tried).map(|tried, actor: &mut Self, ctx| {
            actor.trying = false;
            match tried {
                Ok(supply) => actor.take_over(supply),
                Err(problem) => actor.keep(problem, ctx),
            }
        }));
    }

    fn take_over(&mut self, supply: Supply) {
        let credential = supply.access.credential.kind();
        tracing::info!(target: LIFECYCLE, credential, "Credential reloaded");
        self.parts.metrics.reloaded(true);
        self.pauses = pauses();
        let before = self.files();
        self.parts.supply.send_replace(supply);
        if self.files() != before {
            self.seen = self.contents(); // other files belong to the new credential
        }
    }

    fn keep(&mut self, problem: String, ctx: &mut Context<Self>) {
        let pause = self.pauses.next().unwrap_or(LONGEST_PAUSE);
        let retry_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        tracing::error!(target: LIFECYCLE, err = problem, retry_in_ms, "Reload failed, the old credential stays");
        self.parts.metrics.reloaded(false);
        self.retry = Some(ctx.run_later(pause, Self::reload));
    }

    /// A file that is mounted by itself, and not with its folder, stays what it was when it is replaced outside.
    fn warn_of_single_file_mounts(&mut self) {
        for file in self.files() {
            let replaced = std::fs::metadata(&file).is_ok_and(|metadata| metadata.nlink() == 0);
            if replaced && self.warned_of.insert(file.clone()) {
                let path = file.display().to_string();
                tracing::warn!(target: LIFECYCLE, path, "Replaced outside of this mount: mount the folder, not the file");
            }
        }
    }
}

fn content(file: &Path) -> Content {
    let content = std::fs::read(file).ok()?;
    digest(&SHA256, &content).as_ref().try_into().ok()
}

fn pauses() -> ExponentialBackoff {
    backoff::jittered(FIRST_PAUSE, LONGEST_PAUSE)
}

impl Actor for ReloadActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        on_change(self.parts.requests.clone(), Self::reload, ctx);
        ctx.run_later(self.parts.interval, Self::look);
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
