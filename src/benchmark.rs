//! The gRPC server in front of a vault in this process that answers at once. For `benches/` and `fuzz/` only, with the
//! build feature `benchmark`.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};

use actix::{Actor, Recipient};
use async_trait::async_trait;
use tokio::runtime::Builder;
use tokio::sync::watch;

use crate::actors::{
    ActiveCredential, ActorName, ActorSlot, ChildSpec, HealthReport, KeyVaultActor, KeyVaultParts,
    PassiveHealth, Supervisor,
};
use crate::app::IO_THREADS;
use crate::audit::AuditLog;
use crate::config::{
    Access, AdmissionConfig, ListenAddr, LogConfig, StatusPolicy, SupervisionConfig, TracesConfig,
};
use crate::grpc::{self, Admission, Backend, BoundSocket};
use crate::kms::{Algorithm, Decrypted, Encrypted, KeyRing, KeyVersion, KmsError, Plaintext, Receipt};
use crate::telemetry::{LogDedup, Metrics, Telemetry};
use crate::vault::{
    DecryptJob, EncryptJob, EncryptResult, Engine, KeyOperations, RejectedTokens, SharedState, Token,
    TokenReader, TokenState, Vault, VaultError,
};

const URL: &str = "https://benchmark.vault.azure.net/keys/k8s/0123456789abcdef0123456789abcdef";

/// Who makes the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// A supervised `KeyVaultActor` on its own thread, as in the daemon.
    Actor,
    /// The handlers themselves: what is left is what the actor costs.
    Handlers,
}

/// A server to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Who makes the calls.
    pub through: Through,
    /// The file of the audit log, if there is to be one.
    pub audit_log: Option<PathBuf>,
    /// The collector of traces, if there is to be one, and how many requests of a million are traced.
    pub traces: Option<(String, u32)>,
}

impl Server {
    /// Serves on that socket for as long as the process lives, and logs as the daemon does. Returns when it cannot.
    ///
    /// # Panics
    /// The socket cannot be bound, the file cannot be written to, or the collector's address is none.
    #[allow(clippy::expect_used)]
    pub fn run(&self, socket: &Path) {
        let traces = self.traces.as_ref().map(|(endpoint, per_million)| TracesConfig {
            endpoint: endpoint.parse().expect("the collector has an address"),
            per_million: *per_million,
        });
        let telemetry = Telemetry::init(LogConfig::default(), traces.as_ref());
        let io =
            Builder::new_multi_thread().worker_threads(IO_THREADS).enable_all().build().expect("threads");
        let spans = telemetry.spans.zip(traces.as_ref());
        let _exporting = spans.map(|(spans, traces)| spans.export(traces, io.handle()).expect("an exporter"));
        let open = |path: &PathBuf| AuditLog::open(path, telemetry.metrics).expect("the audit log is opened");
        let audit = self.audit_log.as_ref().map(open).unwrap_or_default();
        let listen = ListenAddr::Path(socket.to_owned());
        actix::System::new().block_on(async move {
            let _on_io = io.enter();
            let socket = BoundSocket::bind(&listen).await.expect("the socket is free");
            let (backend, _supervisor) = backend(self.through);
            let _ = io.spawn(grpc::serve(socket.listener, backend, audit, std::future::pending())).await;
        });
    }
}

pub(crate) fn backend(through: Through) -> (Arc<Backend>, Option<actix::Addr<Supervisor>>) {
    let metrics = Arc::new(Metrics::new());
    let key = KeyVersion::new(URL, "k8s", "0123456789abcdef0123456789abcdef");
    let ring = Arc::new(KeyRing::single(key));
    let (key_vault, supervisor): (Arc<dyn KeyOperations>, _) = match through {
        Through::Handlers => (Arc::new(engine(&metrics)), None),
        Through::Actor => {
            let slot = Arc::new(ActorSlot::empty());
            let handle = slot.handle();
            let spec = key_vault_actor(slot, ring.current().clone(), metrics.clone());
            let supervisor = Supervisor::new(vec![spec], SupervisionConfig::default(), metrics.clone()).0;
            (Arc::new(handle), Some(supervisor.start()))
        }
    };
    let max_in_flight = AdmissionConfig::default().max_in_flight;
    let backend = Backend {
        ring,
        key_vault,
        admission: Admission::new(max_in_flight, metrics.clone()),
        report: watch::channel(HealthReport::default()).1,
        status_policy: StatusPolicy::default(),
        passive_health: Arc::new(PassiveHealth::none()),
        metrics,
        requests: AtomicU64::new(1),
        probe_failures: LogDedup::repeating(),
    };
    (Arc::new(backend), supervisor)
}

fn key_vault_actor(
    slot: Arc<ActorSlot<KeyVaultActor>>,
    current: Arc<KeyVersion>,
    metrics: Arc<Metrics>,
) -> ChildSpec {
    let active = Arc::new(watch::Sender::new(ActiveCredential {
        number: 0,
        access: Arc::new(Access::of_this_machine()),
        token: None,
    }));
    let engine = move |_: &Access| Ok(engine(&metrics));
    let parts = KeyVaultParts { engine: Arc::new(engine), active, current, slot };
    let start = move |arbiter: &_, lifeline| {
        let make = KeyVaultActor::prepare(parts.clone())?;
        let actor = KeyVaultActor::start_in_arbiter(arbiter, move |_| make(lifeline));
        Ok::<Recipient<_>, String>(actor.recipient())
    };
    ChildSpec { name: ActorName::KeyVault, start: Box::new(start) }
}

/// The daemon's engine, with a rate that is never reached.
#[allow(clippy::expect_used)]
fn engine(metrics: &Arc<Metrics>) -> Engine {
    let token = Token::new(1, "token".into(), SystemTime::now() + Duration::from_secs(86_400));
    let state =
        watch::channel(TokenState { token: Some(token), refresh_failure: None, credential_number: 0 }).1;
    let tokens = TokenReader::new(state, RejectedTokens::none());
    let shared = Arc::new(SharedState::new(NonZeroU32::MAX, NonZeroU32::MAX));
    let connect = || Ok(Arc::new(InstantVault) as Arc<dyn Vault>);
    Engine::new(Arc::new(connect), tokens, shared, metrics.clone()).expect("nothing to connect to")
}

#[async_trait]
impl KeyOperations for Engine {
    async fn encrypt(&self, job: EncryptJob) -> Result<Encrypted, KmsError> {
        Engine::encrypt(self, &job).await
    }

    async fn decrypt(&self, job: DecryptJob) -> Result<Decrypted, KmsError> {
        Engine::decrypt(self, &job).await
    }
}

/// Answers at once, with the sizes of an RSA-2048 key.
struct InstantVault;

#[async_trait]
impl Vault for InstantVault {
    async fn encrypt(
        &self,
        _: &KeyVersion,
        _: Algorithm,
        _: &Plaintext,
    ) -> Result<EncryptResult, VaultError> {
        Ok(EncryptResult { kid: URL.into(), value: vec![7; 256], receipt: Receipt::default() })
    }

    async fn decrypt(&self, _: &KeyVersion, _: Algorithm, _: &[u8]) -> Result<Decrypted, VaultError> {
        Ok(Decrypted { plaintext: Plaintext::new(vec![7; 32]), request_id: String::new() })
    }

    async fn modulus(&self, _: &KeyVersion) -> Result<usize, VaultError> {
        Ok(256)
    }
}
