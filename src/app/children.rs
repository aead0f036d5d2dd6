//! The factories of the actors, and the state that outlives their restarts.

use std::sync::Arc;

use actix::Actor;
use tokio::sync::watch;

use super::credential_check::AzureCredentialCheck;
use crate::actors::{
    ActiveCredential, ActorHandle, ActorName, ActorSlot, ChildSpec, HealthActor, HealthParts, HealthReport,
    KeyVaultActor, KeyVaultParts, PassiveHealth, Probe, ReloadActor, ReloadParts, ReloadReport, TokenActor,
    TokenParts,
};
use crate::azure::{AzureTokenSource, AzureVault, Connector};
use crate::config::{Access, Cloud, Config};
use crate::kms::KeyRing;
use crate::telemetry::Metrics;
use crate::vault::{Engine, RejectedTokens, SharedState, TokenReader, TokenSource, TokenState, Vault};

/// The state that outlives every actor, and from which each generation is created.
pub(super) struct Children {
    config: Arc<Config>,
    ring: Arc<KeyRing>,
    metrics: Arc<Metrics>,
    active: Arc<watch::Sender<ActiveCredential>>,
    reloads: Arc<watch::Sender<ReloadReport>>,
    cloud: Cloud,
    tokens: Arc<watch::Sender<TokenState>>,
    rejected: RejectedTokens,
    report: Arc<watch::Sender<HealthReport>>,
    passive_health: Arc<PassiveHealth>,
    key_vault: Arc<ActorSlot<KeyVaultActor>>,
    shared: Arc<SharedState>,
    notifications: Notifications,
}

/// The notifications from the app to the actors.
#[derive(Clone)]
pub(super) struct Notifications {
    /// `true` when the socket is being closed.
    pub(super) draining: watch::Receiver<bool>,
    /// The number of SIGHUPs.
    pub(super) reload_requests: watch::Receiver<u64>,
}

impl Children {
    pub(super) fn new(
        config: &Config,
        access: Access,
        ring: Arc<KeyRing>,
        metrics: Arc<Metrics>,
        notifications: Notifications,
    ) -> Self {
        let cloud = access.cloud.clone();
        let active = ActiveCredential { number: 0, access: Arc::new(access), token: None };
        Self {
            config: Arc::new(config.clone()),
            ring,
            metrics,
            active: Arc::new(watch::Sender::new(active)),
            reloads: Arc::new(watch::Sender::default()),
            cloud,
            tokens: Arc::new(watch::Sender::default()),
            rejected: RejectedTokens::none(),
            report: Arc::new(watch::Sender::default()),
            passive_health: Arc::new(PassiveHealth::none()),
            key_vault: Arc::new(ActorSlot::empty()),
            shared: Arc::new(SharedState::new(config.admission.qps, config.admission.burst)),
            notifications,
        }
    }

    pub(super) fn key_vault(&self) -> ActorHandle<KeyVaultActor> {
        self.key_vault.handle()
    }

    pub(super) fn report(&self) -> watch::Receiver<HealthReport> {
        self.report.subscribe()
    }

    pub(super) fn reloads(&self) -> watch::Receiver<ReloadReport> {
        self.reloads.subscribe()
    }

    pub(super) fn passive_health(&self) -> Arc<PassiveHealth> {
        self.passive_health.clone()
    }

    pub(super) fn shared(&self) -> Arc<SharedState> {
        self.shared.clone()
    }

    pub(super) fn tokens(&self) -> TokenReader {
        TokenReader::new(self.tokens.subscribe(), self.rejected.clone())
    }

    /// Returns the specifications of all actors, in the order of starts.
    pub(super) fn specs(self) -> Vec<ChildSpec> {
        vec![self.token(), self.key_vault_child(), self.health(), self.reload()]
    }

    fn token(&self) -> ChildSpec {
        let config = self.config.clone();
        let connect = move |access: &Access| {
            let source = AzureTokenSource::new(access, &config.key.resource, config.assertion)?;
            Ok(Arc::new(source) as Arc<dyn TokenSource>)
        };
        let parts = TokenParts {
            connect: Arc::new(connect),
            active: self.active.clone(),
            published: self.tokens.clone(),
            rejected: self.rejected.clone(),
            metrics: self.metrics.clone(),
        };
        let start = move |arbiter: &_, lifeline| {
            let make = TokenActor::prepare(parts.clone())?;
            Ok(TokenActor::start_in_arbiter(arbiter, move |_| make(lifeline)).recipient())
        };
        ChildSpec { name: ActorName::Token, start: Box::new(start) }
    }

    fn key_vault_child(&self) -> ChildSpec {
        let (config, metrics, tokens) = (self.config.clone(), self.metrics.clone(), self.tokens());
        let shared = self.shared.clone();
        let engine = move |access: &Access| {
            let (config, network, reader) = (config.clone(), access.network.clone(), tokens.clone());
            let connector = Connector::default();
            let connect = move || {
                let vault = AzureVault::new(&config.key, &network, &connector, reader.clone())?;
                Ok(Arc::new(vault) as Arc<dyn Vault>)
            };
            Engine::new(Arc::new(connect), tokens.clone(), shared.clone(), metrics.clone())
        };
        let (active, current) = (self.active.clone(), self.ring.current().clone());
        let parts = KeyVaultParts { engine: Arc::new(engine), active, current, slot: self.key_vault.clone() };
        let start = move |arbiter: &_, lifeline| {
            let make = KeyVaultActor::prepare(parts.clone())?;
            Ok(KeyVaultActor::start_in_arbiter(arbiter, move |_| make(lifeline)).recipient())
        };
        ChildSpec { name: ActorName::KeyVault, start: Box::new(start) }
    }

    fn reload(&self) -> ChildSpec {
        let parts = ReloadParts {
            source: self.config.access_source.clone(),
            active: self.active.clone(),
            report: self.reloads.clone(),
            check: Arc::new(AzureCredentialCheck::new(
                self.config.clone(),
                self.cloud.clone(),
                self.ring.clone(),
            )),
            interval: self.config.reload_interval,
            requests: self.notifications.reload_requests.clone(),
            metrics: self.metrics.clone(),
        };
        let start = move |arbiter: &_, lifeline| {
            let parts = parts.clone();
            let actor = ReloadActor::start_in_arbiter(arbiter, move |_| ReloadActor::new(parts, lifeline));
            Ok(actor.recipient())
        };
        ChildSpec { name: ActorName::Reload, start: Box::new(start) }
    }

    fn health(&self) -> ChildSpec {
        let (socket, timeout) = (self.config.listen.clone(), self.config.healthz.timeout);
        let parts = HealthParts {
            connect: Arc::new(move || Box::new(Probe::new(&socket, timeout).our_own())),
            passive_health: self.passive_health.clone(),
            interval: self.config.health_interval,
            timeout,
            published: self.report.clone(),
            draining: self.notifications.draining.clone(),
        };
        let start = move |arbiter: &_, lifeline| {
            let parts = parts.clone();
            let actor = HealthActor::start_in_arbiter(arbiter, move |_| HealthActor::new(parts, lifeline));
            Ok(actor.recipient())
        };
        ChildSpec { name: ActorName::Health, start: Box::new(start) }
    }
}
