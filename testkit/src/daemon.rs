//! The daemon as a process.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::timeout;

use crate::client::Client;
use crate::http::{Http, http};
use crate::inherit::Inherit;
use crate::process::Process;
use crate::timeouts::TEST_TIMEOUT;

/// Returns a free port below the range of ephemeral ports, so that no client gets it meanwhile.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + ((std::process::id() * 61 + next) % 20_000) as u16;
        if std::net::TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

/// The environment variables that configure a proxy.
const PROXIES: [&str; 8] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// Removes the proxies of the environment of the tests from a command. Call it before you set others.
pub fn without_proxies(command: &mut Command) -> &mut Command {
    PROXIES.iter().fold(command, |command, name| command.env_remove(name))
}

/// A daemon that is to be started: its program, flags and environment.
pub struct Start {
    /// The path of the program.
    program: PathBuf,
    /// Its command line.
    args: Vec<String>,
    /// Environment variables by name, beside those of the tests.
    env: Vec<(String, String)>,
    /// The file descriptor that it inherits.
    inherit: Option<Inherit>,
    /// The path of its gRPC socket.
    pub socket: PathBuf,
    /// The port of its health endpoints.
    healthz: u16,
    /// The port of its metrics.
    metrics: u16,
}

impl Start {
    /// Returns that program with those flags, a socket in `folder`, free ports, and five health checks a second.
    pub fn new(program: impl Into<PathBuf>, folder: &Path, mut args: Vec<String>) -> Self {
        let (socket, healthz, metrics) = (folder.join("kms.socket"), free_port(), free_port());
        args.push(format!("--listen-addr=unix://{}", socket.display()));
        args.push(format!("--healthz-port={healthz}"));
        args.push(format!("--metrics-addr=127.0.0.1:{metrics}"));
        args.push("--health-interval=200ms".into());
        Self { program: program.into(), args, env: Vec::new(), inherit: None, socket, healthz, metrics }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds an environment variable.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Makes it inherit that file descriptor, announced as systemd announces a socket.
    pub fn inherit(self, fd: impl Into<OwnedFd>) -> Self {
        self.inherit_times(1, fd)
    }

    /// Makes it inherit that file descriptor several times over.
    pub fn inherit_times(mut self, times: usize, fd: impl Into<OwnedFd>) -> Self {
        self.inherit = Some(Inherit { fd: fd.into(), times });
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started; names the program.
    pub fn try_spawn(self) -> Result<Daemon, String> {
        let mut command = match &self.inherit {
            Some(inherit) => inherit.command(&self.program),
            None => Command::new(&self.program),
        };
        without_proxies(&mut command).args(&self.args).envs(self.env).env_remove("RUST_BACKTRACE");
        let input = self.inherit.map_or_else(Stdio::null, |inherit| inherit.fd.into());
        Ok(Daemon {
            process: Process::spawn_reading(&mut command, input)?,
            socket: self.socket,
            healthz: format!("http://127.0.0.1:{}", self.healthz),
            metrics: format!("http://127.0.0.1:{}/metrics", self.metrics),
        })
    }

    /// Starts it, or panics.
    pub fn spawn(self) -> Daemon {
        self.try_spawn().unwrap()
    }

    /// Starts it and waits until it listens.
    pub async fn listening(self) -> Daemon {
        let mut daemon = self.spawn();
        daemon.logs("Listening for connections").await;
        daemon
    }

    /// Starts it and waits until it is healthy.
    pub async fn healthy(self) -> Daemon {
        let mut daemon = self.spawn();
        daemon.logs("\"Healthy\"").await;
        daemon
    }
}

/// The running daemon; killed when dropped.
pub struct Daemon {
    /// The process.
    pub process: Process,
    /// Its gRPC socket.
    pub socket: PathBuf,
    /// The URL of its health endpoints.
    healthz: String,
    /// The URL of its metrics.
    metrics: String,
}

impl Daemon {
    /// Returns its log until now.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until the log has that text that many times.
    pub async fn logs_times(&mut self, text: &str, times: usize) {
        self.process.wait_for(text, times).await.unwrap();
    }

    /// Waits until the log has that text.
    pub async fn logs(&mut self, text: &str) {
        self.logs_times(text, 1).await;
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits for the end of the process.
    pub async fn exit(&mut self) -> ExitStatus {
        self.process.exit().await.unwrap()
    }

    /// Returns a client of the socket, which connects when it is first used. The daemon must outlive it.
    pub fn client(&self) -> Client {
        Client::new(self.socket.clone())
    }

    /// Sends a GET to the healthz port, and returns the status and the body of the response.
    ///
    /// # Errors
    /// There is no response.
    pub async fn try_get(&self, path: &str) -> Result<(u16, String), String> {
        http("GET", &format!("{}{path}", self.healthz)).await
    }

    /// Sends a GET to the healthz port, or panics.
    pub async fn get(&self, path: &str) -> (u16, String) {
        self.try_get(path).await.unwrap()
    }

    /// Returns the address of its health endpoints.
    pub fn healthz_addr(&self) -> &str {
        self.healthz.trim_start_matches("http://")
    }

    /// Returns the metrics.
    ///
    /// # Errors
    /// There is no response.
    pub async fn try_metrics(&self) -> Result<String, String> {
        Ok(http("GET", &self.metrics).await?.1)
    }

    /// Returns the metrics, or panics.
    pub async fn metrics(&self) -> String {
        self.try_metrics().await.unwrap()
    }

    /// Waits until at least that many key operations are in flight.
    pub async fn has_in_flight(&self, wanted: u64) {
        self.until_metric("azure_kms_requests_in_flight", |in_flight| in_flight >= wanted).await;
    }

    /// Returns the value of a metric without labels.
    pub async fn metric(&self, name: &str) -> u64 {
        let metrics = self.metrics().await;
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// Waits until a metric without labels has a value that the predicate accepts.
    pub async fn until_metric(&self, name: &str, reached: impl Fn(u64) -> bool) {
        let polled = async {
            while !reached(self.metric(name).await) {
                tokio::time::sleep(Duration::from_millis(20)).await; // between polls: the calls need the processor too
            }
        };
        timeout(TEST_TIMEOUT, polled).await.unwrap_or_else(|_| panic!("{name} does not get there"));
    }

    /// Makes an actor fail.
    ///
    /// # Errors
    /// The daemon has no fault injection, or does not know the actor or the fault.
    pub async fn try_inject(&self, actor: &str, fault: &str) -> Result<(), String> {
        self.try_inject_by(&Http::new(), actor, fault).await
    }

    /// Makes an actor fail by that connection.
    ///
    /// # Errors
    /// The daemon has no fault injection, or does not know the actor or the fault.
    async fn try_inject_by(&self, http: &Http, actor: &str, fault: &str) -> Result<(), String> {
        let url = format!("{}/debug/actors/{actor}/{fault}", self.healthz);
        match http.request("POST", &url).await? {
            (200, _) => Ok(()),
            (status, body) => Err(format!("HTTP {status}: {body}")),
        }
    }

    /// Returns a client with a connection to the healthz port, which outlasts the closing of the port.
    pub async fn connected(&self) -> Http {
        let http = Http::new();
        http.request("GET", &format!("{}/livez", self.healthz)).await.unwrap();
        http
    }

    /// Makes an actor fail by that connection, or panics.
    pub async fn inject_by(&self, http: &Http, actor: &str, fault: &str) {
        self.try_inject_by(http, actor, fault).await.unwrap();
    }

    /// Makes an actor fail, or panics.
    pub async fn inject(&self, actor: &str, fault: &str) {
        self.try_inject(actor, fault).await.unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // the test's own output: its harness shows it when the test fails
            #[allow(clippy::print_stderr)]
            {
                eprintln!("--- log of the daemon\n{}", self.log());
            }
        }
    }
}

/// Lists every restart of an actor that those metrics count, such as `1 (actor="token",reason="panic")`.
pub fn restarts(metrics: &str) -> String {
    let counted = metrics.lines().filter_map(|line| {
        let (labels, count) = line.strip_prefix("azure_kms_actor_restarts_total{")?.split_once("} ")?;
        (count != "0").then(|| format!("{count} ({labels})"))
    });
    counted.collect::<Vec<_>>().join(", ")
}
