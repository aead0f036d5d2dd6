//! The only wiring: builds everything in the order of its dependencies, waits for a signal, drains in reverse.

mod children;
mod credential_check;
mod output;
mod process;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};

use actix::{Actor, Addr};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::actors::{Shutdown, Supervision, Supervisor};
use crate::audit::AuditLog;
use crate::azure::check_client;
use crate::cli::{self, Command, Flags};
use crate::commands;
use crate::config::{self, Access, Config, LogConfig};
use crate::grpc::{self, Admission, Backend, BoundSocket, Inherited, SocketFile};
use crate::http::{self, Checks, Snapshots, ZPages};
use crate::kms::{KeyRing, KeyVersion};
use crate::telemetry::{LIFECYCLE, LogDedup, Metrics, Telemetry};
use children::{Children, Notifications};
use output::{exit_with, print_result};

/// The time limit for requests in flight to finish after a signal.
const DRAIN: Duration = Duration::from_secs(10);
/// The time limit for the actors to stop, and after that for the runtime of gRPC and HTTP.
const STOP: Duration = Duration::from_secs(1);
/// The number of threads for gRPC and HTTP; each actor has one of its own.
pub(crate) const IO_THREADS: usize = 2;

/// Runs the program with these arguments (without its name). Returns the exit code: 0 after a drain, 1 after a
/// failure.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    match cli::parse(args) {
        Err(exit) => exit_with(&exit),
        Ok(Command::Version) => print_result(Ok(cli::version_json())),
        Ok(Command::Healthcheck(flags)) => print_result(commands::healthcheck(&flags)),
        Ok(Command::Manifests(flags)) => print_result(commands::manifests(&flags)),
        Ok(Command::Preflight(flags)) => exit_with(&commands::preflight(&flags)),
        Ok(Command::Status(flags)) => {
            print_result(commands::status(&flags, &mut std::io::stdout()).map(|()| String::new()))
        }
        Ok(Command::Completion(flags)) => print_result(commands::completion(&flags)),
        Ok(Command::Man(flags)) => print_result(commands::man(&flags)),
        Ok(Command::Run(flags)) => run_daemon(&flags),
    }
}

fn run_daemon(flags: &Flags) -> ExitCode {
    let inherited = Inherited::take();
    let without_dumps = process::forbid_core_dumps(); // before the first secret is read
    let config = config::load(flags, Arc::new(|name: &str| std::env::var(name).ok()));
    let traces = config.as_ref().ok().and_then(|(config, _)| config.traces.as_ref());
    let telemetry = Telemetry::init(LogConfig::of(flags), traces);
    process::log_panics();
    if let Err(error) = without_dumps {
        tracing::warn!(err = %error, "Core dumps could not be switched off");
    }
    exit_code(config.map_err(|problems| problems.0).and_then(|ready| start(ready, inherited, telemetry)))
}

fn exit_code(outcome: Result<(), Vec<String>>) -> ExitCode {
    let Err(problems) = outcome else { return ExitCode::SUCCESS };
    for problem in problems {
        tracing::error!(target: LIFECYCLE, err = problem, "Cannot run");
    }
    ExitCode::FAILURE
}

/// Runs the daemon to its end, on runtimes that it creates and shuts down.
///
/// # Errors
/// The audit log cannot be opened, no threads can be created, or [`run`] fails; one sentence for each problem.
fn start(
    (config, access): (Config, Access),
    inherited: Inherited,
    telemetry: Telemetry,
) -> Result<(), Vec<String>> {
    process::allow_many_files();
    log_start(&config, &access);
    let audit = audit_log(&config, &telemetry.metrics).map_err(|problem| vec![problem])?;
    let startup = Startup { config, access, inherited, telemetry, audit: audit.clone() };
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(IO_THREADS).enable_all().build();
    let io = io.map_err(|error| vec![format!("no threads: {error}")])?;
    let outcome = actix::System::new().block_on(run(startup, io.handle().clone()));
    io.shutdown_timeout(STOP); // outside of the actor system, which must not drop a runtime
    audit.finish(); // after the last call was dropped
    outcome.map_err(|problem| vec![problem])
}

/// Opens the audit log, if one is configured.
///
/// # Errors
/// The file cannot be opened.
fn audit_log(config: &Config, metrics: &Arc<Metrics>) -> Result<AuditLog, String> {
    match &config.audit_log {
        Some(path) => AuditLog::open(path, metrics.clone()),
        None => Ok(AuditLog::default()),
    }
}

/// The parts that exist before the daemon starts.
struct Startup {
    config: Config,
    access: Access,
    inherited: Inherited,
    telemetry: Telemetry,
    audit: AuditLog,
}

/// Starts the daemon, waits for its end, and drains it.
///
/// # Errors
/// The daemon cannot start, or it ends for another reason than a signal.
async fn run(startup: Startup, io: Handle) -> Result<(), String> {
    let Startup { config, access, inherited, telemetry: Telemetry { metrics, spans }, audit } = startup;
    let traces = spans.zip(config.traces.as_ref());
    let traces = traces.map(|(spans, traces)| spans.export(traces, &io)).transpose()?;
    let mut signals = process::Signals::listen().map_err(|error| format!("no signal handlers: {error}"))?;
    check_client(&config.key.vault_host(), &access.network)?;
    let listeners = Listeners::bind(&config, inherited, &io).await?;
    let mut running = Running::start(&config, access, listeners, (metrics, audit.clone()), &io);
    tracing::info!(target: LIFECYCLE, addr = %config.listen, "Listening for connections");
    let reason = running.wait_for_end(&mut signals).await;
    io.spawn(signals.exit_on_the_next(audit));
    tracing::info!(target: LIFECYCLE, reason = reason.as_deref().unwrap_or("signal"), "Draining");
    running.stop().await;
    if let Some(traces) = traces {
        traces.flush().await;
    }
    tracing::info!(target: LIFECYCLE, "Stopped");
    reason.map_or(Ok(()), Err)
}

/// The listeners, bound before the daemon starts.
struct Listeners {
    socket: BoundSocket,
    healthz: tokio::net::TcpListener,
    metrics: tokio::net::TcpListener,
}

impl Listeners {
    /// Binds the ports and the socket, on the runtime that serves them.
    ///
    /// # Errors
    /// A port or the socket cannot be bound.
    async fn bind(config: &Config, inherited: Inherited, io: &Handle) -> Result<Self, String> {
        let _on_io = io.enter();
        let message = |problem: http::NotBound| problem.to_string();
        let healthz = http::bind("healthz-port", config.healthz.addr).map_err(message)?;
        let metrics = http::bind("metrics-addr", config.metrics_addr).map_err(message)?;
        let socket = BoundSocket::open(&config.listen, inherited).await?;
        Ok(Self { socket, healthz, metrics })
    }
}

/// The running daemon.
struct Running {
    grpc: JoinHandle<()>,
    http: [JoinHandle<()>; 2],
    socket: Option<SocketFile>,
    supervisor: Addr<Supervisor>,
    supervision: watch::Receiver<Supervision>,
    drain: watch::Sender<bool>,
    reload: watch::Sender<u64>,
    audit: AuditLog,
}

impl Running {
    /// Starts everything in the order of dependencies.
    fn start(
        config: &Config,
        access: Access,
        listeners: Listeners,
        (metrics, audit): (Arc<Metrics>, AuditLog),
        io: &Handle,
    ) -> Self {
        let key = KeyVersion::new(&config.key.key_url(), &config.key.name, &config.key.version);
        let ring = Arc::new(KeyRing::single(key));
        let (drain, draining) = watch::channel(false);
        let (reload, reload_requests) = watch::channel(0);
        let notifications = Notifications { draining: draining.clone(), reload_requests };
        let children = Children::new(config, access, ring.clone(), metrics.clone(), notifications);
        let backend = backend(config, ring.clone(), &children, metrics.clone());
        let (report, tokens, shared) = (children.report(), children.tokens(), children.shared());
        let reloads = children.reloads();
        let (supervisor, supervision) =
            Supervisor::new(children.specs(), config.supervision, metrics.clone());
        let supervisor = supervisor.start();
        let checks = Checks { supervision: supervision.clone(), report, tokens };
        let snapshots = Snapshots {
            started: SystemTime::now(),
            ring,
            checks: checks.clone(),
            shared,
            reloads,
            audit: audit.clone(),
            metrics: metrics.clone(),
            max_in_flight: config.admission.max_in_flight,
        };
        let routes = health_routes(config, snapshots, &supervisor);
        let healthz = io.spawn(http::serve(listeners.healthz, routes));
        let metrics = io.spawn(http::serve(listeners.metrics, http::metrics_routes(metrics, checks)));
        let BoundSocket { listener, file: socket } = listeners.socket;
        let grpc = io.spawn(grpc::serve(listener, backend, audit.clone(), drained(draining)));
        Self { grpc, http: [healthz, metrics], socket, supervisor, supervision, drain, reload, audit }
    }

    /// Waits for the end of the daemon. Returns its reason; `None` for a signal.
    async fn wait_for_end(&mut self, signals: &mut process::Signals) -> Option<String> {
        let (reload, audit) = (&self.reload, &self.audit);
        let hangup = || {
            reload.send_modify(|requests| *requests += 1);
            audit.reopen();
        };
        tokio::select! {
            () = signals.wait_for_end(hangup) => None,
            gave_up = self.supervision.wait_for(|supervision| supervision.gave_up.is_some()) => {
                let why = gave_up.map_or(None, |supervision| supervision.gave_up.clone());
                Some(why.unwrap_or_else(|| "the supervisor ended".to_owned()))
            }
            ended = &mut self.grpc => Some(format!("the gRPC server ended: {ended:?}")),
        }
    }

    /// Stops everything: the ports first, so that the next process can bind them; then requests, the actors that
    /// serve them, and the socket's file.
    async fn stop(self) {
        self.drain.send_replace(true);
        self.http.iter().for_each(JoinHandle::abort);
        if !self.grpc.is_finished() && timeout(DRAIN, self.grpc).await.is_err() {
            tracing::warn!(target: LIFECYCLE, "Connections were still open after {} s", DRAIN.as_secs());
        }
        let _ = timeout(STOP, self.supervisor.send(Shutdown)).await; // it may have ended already
        let mut supervision = self.supervision;
        let _ = timeout(STOP, async { while supervision.changed().await.is_ok() {} }).await;
        if let Some(socket) = self.socket {
            socket.remove();
        }
    }
}

fn backend(config: &Config, ring: Arc<KeyRing>, children: &Children, metrics: Arc<Metrics>) -> Arc<Backend> {
    Arc::new(Backend {
        ring,
        key_vault: Arc::new(children.key_vault()),
        admission: Admission::new(config.admission.max_in_flight, metrics.clone()),
        report: children.report(),
        status_policy: config.status_policy,
        passive_health: children.passive_health(),
        metrics,
        requests: AtomicU64::new(1),
        probe_failures: LogDedup::repeating(),
    })
}

fn health_routes(config: &Config, snapshots: Snapshots, supervisor: &Addr<Supervisor>) -> axum::Router {
    let (path, flags) = (config.healthz.path.clone(), Arc::new(config.flags.clone()));
    let routes = http::health_routes(&path, snapshots.checks.clone());
    let routes = routes.merge(http::zpage_routes(ZPages { snapshots, flags, healthz: path }));
    #[cfg(feature = "fault-injection")]
    return routes.merge(http::debug_routes(supervisor.clone()));
    #[cfg(not(feature = "fault-injection"))]
    {
        let _ = supervisor; // used by fault injection only
        routes
    }
}

async fn drained(mut draining: watch::Receiver<bool>) {
    let _ = draining.wait_for(|draining| *draining).await; // an error: the sender was dropped, so drain
}

fn log_start(config: &Config, access: &Access) {
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    tracing::info!(target: LIFECYCLE, version, commit = env!("BUILD_COMMIT"), "Starting azure-kms-provider");
    tracing::info!(target: LIFECYCLE, path = %config.access_source.config_file.display(), "Read the Azure configuration");
    let credential = access.credential.kind();
    tracing::info!(target: LIFECYCLE, credential, "Credential");
    let (vault, key, key_version) = (&config.key.vault_name, &config.key.name, &config.key.version);
    tracing::info!(target: LIFECYCLE, vault, key, key_version, "Using this key to encrypt and decrypt");
    if cfg!(feature = "fault-injection") {
        let danger = "This build has fault injection: whoever reaches the healthz port can stop its actors";
        tracing::warn!(target: LIFECYCLE, "{danger}");
    }
    for warning in &config.warnings {
        tracing::warn!(target: LIFECYCLE, "{warning}");
    }
}
