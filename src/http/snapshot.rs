//! A snapshot of the daemon's state, from the states that its parts publish. Makes no calls.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Checks;
use crate::actors::{ActorStatus, ReloadReport, Supervision};
use crate::audit::{AuditLog, AuditView};
use crate::kms::KeyRing;
use crate::telemetry::{AdmissionView, Metrics};
use crate::vault::{RateLimitView, SharedState, TokenReader};

/// A snapshot of the daemon. The command `status` reads its JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// The version of the program.
    pub version: String,
    /// The start of the process.
    pub started: DateTime<Utc>,
    /// The time since then, in seconds.
    pub uptime_seconds: u64,
    /// The key version that encrypts.
    pub key: KeyView,
    /// The Entra token.
    pub token: TokenView,
    /// The state of the calls to Key Vault.
    pub key_vault: KeyVaultView,
    /// Our own limit on the rate of calls to Key Vault; absent from an older daemon.
    #[serde(default)]
    pub rate_limit: Option<RateLimitView>,
    /// The key operations that run and are queued; absent from an older daemon.
    #[serde(default)]
    pub admission: Option<AdmissionView>,
    /// The actors, in order of their start.
    pub actors: Vec<ActorView>,
    /// The reloads of the credential; absent from an older daemon.
    #[serde(default)]
    pub reload: Option<ReloadView>,
    /// The audit log; `None` without `--audit-log`.
    pub audit_log: Option<AuditView>,
}

/// A key version.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeyView {
    /// The name of the key in the vault.
    pub name: String,
    /// The version.
    pub version: String,
    /// The key_id that kube-apiserver gets.
    pub key_id: String,
}

/// The Entra token.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TokenView {
    /// The expiry of the published token; `None` without one.
    pub expires: Option<DateTime<Utc>>,
    /// The error of the last refresh, if it failed.
    pub error: Option<String>,
}

/// The result of the last change of the credential or its files.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ReloadView {
    /// The reason why the last change was refused and the old credential stays; `None` when it was applied.
    pub problem: Option<String>,
    /// The time of the last applied change; `None` when there was none since the start.
    pub taken_over: Option<DateTime<Utc>>,
}

/// The state of the calls to Key Vault.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeyVaultView {
    /// The reason why the health check of Key Vault fails; `None` when it passes.
    pub problem: Option<String>,
    /// The time of the last successful call.
    pub last_success: Option<DateTime<Utc>>,
    /// The failure for which the circuit breaker is open; `None` when it is closed.
    pub breaker_open: Option<String>,
    /// The rest of the pause after a 429 of Key Vault, in milliseconds; `None` when there is none.
    pub throttled_for_ms: Option<u64>,
    /// Calls are spaced out after a throttling.
    pub slowed_down: bool,
}

/// The state of one actor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ActorView {
    /// Its name.
    pub name: String,
    /// `running` or `restarting`.
    pub state: String,
    /// The number of starts.
    pub generation: u64,
    /// The number of restarts.
    pub restarts: u64,
    /// The reason for its last exit.
    pub last_reason: Option<String>,
}

/// The sources of snapshots.
#[derive(Clone)]
pub(crate) struct Snapshots {
    /// The start of the process.
    pub started: SystemTime,
    /// The keys.
    pub ring: Arc<KeyRing>,
    /// The health checks.
    pub checks: Checks,
    /// The state that calls to Key Vault share.
    pub shared: Arc<SharedState>,
    /// The reloads of the credential.
    pub reloads: watch::Receiver<ReloadReport>,
    /// The audit log.
    pub audit: AuditLog,
    /// The metrics, which count the key operations that run and are queued.
    pub metrics: Arc<Metrics>,
    /// The number of key operations that may run.
    pub max_in_flight: NonZeroU32,
}

impl Snapshots {
    /// Takes a snapshot.
    pub(crate) fn take(&self) -> Snapshot {
        let Checks { supervision, tokens, .. } = &self.checks;
        Snapshot {
            version: concat!("v", env!("CARGO_PKG_VERSION")).to_owned(),
            started: moment(self.started),
            uptime_seconds: self.started.elapsed().unwrap_or_default().as_secs(),
            key: self.key(),
            token: token(tokens),
            key_vault: self.key_vault(),
            rate_limit: Some(self.shared.rate_limit()),
            admission: Some(self.metrics.admission(self.max_in_flight)),
            actors: actors(supervision),
            reload: Some(reload(&self.reloads.borrow())),
            audit_log: self.audit.view(),
        }
    }

    fn key(&self) -> KeyView {
        let key = self.ring.current();
        let (name, version) = (key.name.clone(), key.version.clone());
        KeyView { name, version, key_id: key.id.as_str().to_owned() }
    }

    fn key_vault(&self) -> KeyVaultView {
        let problem = self.checks.report.borrow().key_vault().err();
        let millis = |pause: std::time::Duration| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        KeyVaultView {
            problem: problem.map(|problem| problem.message.into_owned()),
            last_success: self.shared.last_success().map(moment),
            breaker_open: self.shared.outage().map(|outage| outage.error.to_string()),
            throttled_for_ms: self.shared.throttled_for().map(millis),
            slowed_down: self.shared.is_throttled(),
        }
    }
}

fn token(tokens: &TokenReader) -> TokenView {
    let expires = tokens.latest().map(|token| moment(token.expires_on));
    TokenView { expires, error: tokens.last_error().map(|error| error.message) }
}

fn reload(report: &ReloadReport) -> ReloadView {
    ReloadView { problem: report.problem.clone(), taken_over: report.activated_at.map(moment) }
}

fn actors(supervision: &watch::Receiver<Supervision>) -> Vec<ActorView> {
    supervision.borrow().actors.iter().map(actor).collect()
}

fn actor(status: &ActorStatus) -> ActorView {
    ActorView {
        name: status.name.as_str().to_owned(),
        state: if status.is_running { "running" } else { "restarting" }.to_owned(),
        generation: status.generation,
        restarts: status.generation.saturating_sub(1),
        last_reason: status.last_reason.map(|reason| reason.as_str().to_owned()),
    }
}

fn moment(at: SystemTime) -> DateTime<Utc> {
    DateTime::<Utc>::from(at).trunc_subsecs(0)
}
