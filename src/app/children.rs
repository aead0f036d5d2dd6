//! How each actor is started, and started again, and what outlives their restarts.

use std::sync::Arc;

use actix::Actor;
use tokio::sync::watch;

use crate::actors::{
    ActorHandle, ActorName, ActorSlot, ChildSpec, HealthActor, HealthParts, HealthReport, KeyVaultActor,
    Probe, TokenActor, TokenParts,
};
use crate::azure::{AzureTokens, AzureVault};
use crate::config::Config;
use crate::kms::KeyRing;
use crate::telemetry::Metrics;
use crate::vault::{Engine, Limiter, Rate, RejectedTokens, TokenReader, TokenState};

/// The state that survives every actor.
pub(super) struct Children {
    config: Arc<Config>,
    ring: Arc<KeyRing>,
    metrics: Arc<Metrics>,
    tokens: Arc<watch::Sender<TokenState>>,
    rejected: RejectedTokens,
    report: Arc<watch::Sender<HealthReport>>,
    key_vault: Arc<ActorSlot<KeyVaultActor>>,
    draining: watch::Receiver<bool>,
}

impl Children {
    pub(super) fn new(
        config: &Config,
        ring: Arc<KeyRing>,
        metrics: Arc<Metrics>,
        draining: watch::Receiver<bool>,
    ) -> Self {
        Self {
            config: Arc::new(config.clone()),
            ring,
            metrics,
            tokens: Arc::new(watch::Sender::default()),
            rejected: RejectedTokens::none(),
            report: Arc::new(watch::Sender::default()),
            key_vault: Arc::new(ActorSlot::empty()),
            draining,
        }
    }

    pub(super) fn key_vault(&self) -> ActorHandle<KeyVaultActor> {
        self.key_vault.handle()
    }

    pub(super) fn report(&self) -> watch::Receiver<HealthReport> {
        self.report.subscribe()
    }

    pub(super) fn tokens(&self) -> TokenReader {
        TokenReader::new(self.tokens.subscribe(), self.rejected.clone())
    }

    /// The actors in the order in which they start.
    pub(super) fn specs(self) -> Vec<ChildSpec> {
        vec![self.token(), self.key_vault_child(), self.health()]
    }

    fn token(&self) -> ChildSpec {
        let (config, metrics) = (self.config.clone(), self.metrics.clone());
        let (published, rejected) = (self.tokens.clone(), self.rejected.clone());
        let start = move |arbiter: &_, lifeline| {
            let source =
                Arc::new(AzureTokens::new(&config.credential, &config.key.resource, &config.network)?);
            let (published, rejected, metrics) = (published.clone(), rejected.clone(), metrics.clone());
            let parts = TokenParts { source, published, rejected, metrics };
            let actor = TokenActor::start_in_arbiter(arbiter, move |_| TokenActor::new(parts, lifeline));
            Ok(actor.recipient())
        };
        ChildSpec { name: ActorName::Token, start: Box::new(start) }
    }

    fn key_vault_child(&self) -> ChildSpec {
        let (config, ring, metrics) = (self.config.clone(), self.ring.clone(), self.metrics.clone());
        let (slot, tokens) = (self.key_vault.clone(), self.tokens());
        let rate = Arc::new(Rate::new(config.admission.qps, config.admission.burst));
        let start = move |arbiter: &_, lifeline| {
            let vault = Arc::new(AzureVault::new(&config.key, &config.network, tokens.clone())?);
            let limiter = Limiter::new(rate.clone());
            let engine = Engine::new(vault, tokens.clone(), limiter, metrics.clone());
            let current = ring.current().clone();
            let actor = KeyVaultActor::start_in_arbiter(arbiter, move |_| {
                KeyVaultActor::new(engine, current, lifeline)
            });
            slot.publish(actor.clone());
            Ok(actor.recipient())
        };
        ChildSpec { name: ActorName::KeyVault, start: Box::new(start) }
    }

    fn health(&self) -> ChildSpec {
        let (socket, timeout) = (self.config.listen.clone(), self.config.healthz.timeout);
        let parts = HealthParts {
            connect: Arc::new(move || Probe::new(&socket, timeout)),
            interval: self.config.health_interval,
            timeout,
            published: self.report.clone(),
            draining: self.draining.clone(),
        };
        let start = move |arbiter: &_, lifeline| {
            let parts = parts.clone();
            let actor = HealthActor::start_in_arbiter(arbiter, move |_| HealthActor::new(parts, lifeline));
            Ok(actor.recipient())
        };
        ChildSpec { name: ActorName::Health, start: Box::new(start) }
    }
}
