//! The state of the daemon at one moment, made of what others publish. Calls nobody.

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

/// The daemon at one moment. Its JSON is read by `status`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// The version of the program.
    pub version: String,
    /// When the process started.
    pub started: DateTime<Utc>,
    /// For how long it has run.
    pub uptime_seconds: u64,
    /// The key that encrypts.
    pub key: KeyView,
    /// The token.
    pub token: TokenView,
    /// The traffic to Key Vault.
    pub key_vault: KeyVaultView,
    /// Our own limit on calls to Key Vault; an older daemon does not tell.
    #[serde(default)]
    pub rate_limit: Option<RateLimitView>,
    /// The key operations that run and wait; an older daemon does not tell.
    #[serde(default)]
    pub admission: Option<AdmissionView>,
    /// The actors, in starting order.
    pub actors: Vec<ActorView>,
    /// Changes of the credential; an older daemon does not tell.
    #[serde(default)]
    pub reload: Option<ReloadView>,
    /// The audit log; none without `--audit-log`.
    pub audit_log: Option<AuditView>,
}

/// A version of the key.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeyView {
    /// Its name in the vault.
    pub name: String,
    /// The version.
    pub version: String,
    /// What kube-apiserver calls it.
    pub key_id: String,
}

/// The Entra token.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TokenView {
    /// When the usable one expires; none without one.
    pub expires: Option<DateTime<Utc>>,
    /// Why the last refresh failed.
    pub error: Option<String>,
}

/// What came of the last change of the credential or its files.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ReloadView {
    /// Why the change was not taken over, and the old credential stays; none when there is none.
    pub problem: Option<String>,
    /// When a change was last taken over; none when there was none since the start.
    pub taken_over: Option<DateTime<Utc>>,
}

/// What is known of Key Vault.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeyVaultView {
    /// Why it does not serve, as the probes found; none when it does.
    pub problem: Option<String>,
    /// When a call last succeeded.
    pub last_success: Option<DateTime<Utc>>,
    /// Why the circuit breaker is open; none when it is closed.
    pub breaker_open: Option<String>,
    /// Key Vault asked for a pause, and so long is left.
    pub throttled_for_ms: Option<u64>,
    /// Calls are held back after a throttling.
    pub slowed_down: bool,
}

/// One actor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ActorView {
    /// Its name.
    pub name: String,
    /// `running` or `restarting`.
    pub state: String,
    /// How often it was started.
    pub generation: u64,
    /// How often it was started again.
    pub restarts: u64,
    /// Why it ended last.
    pub last_reason: Option<String>,
}

/// Takes snapshots.
#[derive(Clone)]
pub(crate) struct Snapshots {
    /// When the process started.
    pub started: SystemTime,
    /// The key.
    pub ring: Arc<KeyRing>,
    /// What the health endpoints read.
    pub checks: Checks,
    /// The traffic to Key Vault.
    pub shared: Arc<SharedState>,
    /// Changes of the credential.
    pub reloads: watch::Receiver<ReloadReport>,
    /// The audit log.
    pub audit: AuditLog,
    /// How many key operations run and wait.
    pub metrics: Arc<Metrics>,
    /// How many may run.
    pub max_in_flight: NonZeroU32,
}

impl Snapshots {
    /// The daemon now.
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
