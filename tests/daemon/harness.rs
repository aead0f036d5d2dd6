//! Starts emulator and daemon, and talks to the daemon as its clients do.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use akv_emulator::{Emulator, Options};
use azure_kms_provider::proto::v1beta1::key_management_service_client::KeyManagementServiceClient as V1;
use azure_kms_provider::proto::v2::key_management_service_client::KeyManagementServiceClient as V2;
use azure_kms_provider::proto::{v1beta1, v2};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tower::service_fn;

/// kube-apiserver's timeout of a KMS call.
pub(crate) const CALL: Duration = Duration::from_secs(3);
/// Longer than anything here takes; a test that waits so long fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// An emulator in this process, in a folder of its own.
pub(crate) struct Vault {
    pub(crate) emulator: Emulator,
    pub(crate) dir: TempDir,
}

impl Vault {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let emulator = Emulator::start(Options::new(dir.path().join("akv"))).await.unwrap();
        Self { emulator, dir }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.path().join("akv")
    }

    /// Stops the emulator and returns what starts it again at the same addresses.
    pub(crate) async fn stop(self) -> (Options, TempDir) {
        let info = self.emulator.info().clone();
        let address = |url: &str| Some(url.trim_start_matches("http://").parse().unwrap());
        let options = Options {
            dir: self.folder(),
            listen: Some(info.vault_addr),
            imds_listen: address(&info.imds_url),
            control_listen: address(&info.control_url),
        };
        self.emulator.shutdown().await;
        (options, self.dir)
    }

    pub(crate) async fn restart((options, dir): (Options, TempDir)) -> Self {
        Self { emulator: Emulator::start(options).await.unwrap(), dir }
    }

    pub(crate) fn key_id(&self) -> String {
        let info = self.emulator.info();
        let url = format!("https://{}/keys/{}/{}", info.vault_host, info.key_name, info.key_versions[0]);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, url.as_bytes());
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A port below the range from which the system gives ports to clients.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + ((std::process::id() * 61 + next) % 20_000) as u16;
        if std::net::TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

/// The daemon as a process; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    log: watch::Receiver<String>,
    pub(crate) socket: PathBuf,
    pub(crate) healthz: String,
    pub(crate) metrics: String,
}

/// How to start it.
pub(crate) struct Start {
    args: Vec<String>,
    env: Vec<(String, String)>,
    pub(crate) socket: PathBuf,
    healthz: u16,
    metrics: u16,
}

impl Start {
    /// With the emulator's flags, a socket beside the emulator's folder, and free ports.
    pub(crate) fn new(vault: &Vault) -> Self {
        let args = std::fs::read_to_string(vault.folder().join("args")).unwrap();
        Self::in_folder(vault.dir.path(), args.lines().map(str::to_owned).collect())
    }

    pub(crate) fn in_folder(folder: &Path, mut args: Vec<String>) -> Self {
        let (socket, healthz, metrics) = (folder.join("kms.socket"), free_port(), free_port());
        args.push(format!("--listen-addr=unix://{}", socket.display()));
        args.push(format!("--healthz-port={healthz}"));
        args.push(format!("--metrics-addr=127.0.0.1:{metrics}"));
        args.push("--health-interval=200ms".into());
        Self { args, env: Vec::new(), socket, healthz, metrics }
    }

    pub(crate) fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    pub(crate) fn spawn(self) -> Daemon {
        let mut child = Command::new(env!("CARGO_BIN_EXE_azure-kms-provider"))
            .args(&self.args)
            .envs(self.env)
            .env_remove("RUST_BACKTRACE")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let (lines, log) = watch::channel(String::new());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                lines.send_modify(|log| {
                    log.push_str(&line);
                    log.push('\n');
                });
            }
        });
        Daemon {
            child,
            log,
            socket: self.socket,
            healthz: format!("http://127.0.0.1:{}", self.healthz),
            metrics: format!("http://127.0.0.1:{}/metrics", self.metrics),
        }
    }

    /// Starts it and waits until it listens.
    pub(crate) async fn listening(self) -> Daemon {
        let mut daemon = self.spawn();
        daemon.logs("Listening for connections").await;
        daemon
    }

    /// Starts it and waits until it is healthy.
    pub(crate) async fn healthy(self) -> Daemon {
        let mut daemon = self.spawn();
        daemon.logs("\"Healthy\"").await;
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the daemon\n{}", self.log());
        }
    }
}

impl Daemon {
    pub(crate) fn log(&self) -> String {
        self.log.borrow().clone()
    }

    /// Waits until the log holds that text so many times.
    pub(crate) async fn logs_times(&mut self, text: &str, times: usize) {
        let found = timeout(PATIENCE, self.log.wait_for(|log| log.matches(text).count() >= times)).await;
        let found = found.is_ok_and(|ended| ended.is_ok());
        assert!(found, "{text:?} is not in the log {times} times:\n{}", self.log());
    }

    pub(crate) async fn logs(&mut self, text: &str) {
        self.logs_times(text, 1).await;
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub(crate) fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// Waits for the end of the process.
    pub(crate) async fn exit(&mut self) -> ExitStatus {
        let mut log = self.log.clone();
        let ended = timeout(PATIENCE, async { while log.changed().await.is_ok() {} }).await;
        assert!(ended.is_ok(), "the daemon does not end:\n{}", self.log());
        self.child.wait().unwrap()
    }

    /// A client of the socket that connects when it is first used.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.socket.clone())
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        http("GET", &format!("{}{path}", self.healthz)).await
    }

    pub(crate) async fn metrics(&self) -> String {
        http("GET", &self.metrics).await.1
    }

    /// Makes an actor fail.
    pub(crate) async fn inject(&self, actor: &str, fault: &str) {
        let (status, body) = http("POST", &format!("{}/debug/actors/{actor}/{fault}", self.healthz)).await;
        assert_eq!(status, 200, "{body}");
    }
}

pub(crate) async fn http(method: &str, url: &str) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.request(method.parse().unwrap(), url);
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Clients of both services on one connection.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) v1: V1<Channel>,
    pub(crate) v2: V2<Channel>,
}

impl Client {
    pub(crate) fn new(socket: PathBuf) -> Self {
        let connect = move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        };
        let channel =
            Endpoint::from_static("http://localhost").connect_with_connector_lazy(service_fn(connect));
        Self { v1: V1::new(channel.clone()), v2: V2::new(channel) }
    }

    pub(crate) async fn encrypt_v1(&mut self, plain: &[u8]) -> Result<Vec<u8>, Status> {
        let request = v1beta1::EncryptRequest { version: "v1beta1".into(), plain: plain.to_vec() };
        Ok(self.v1.encrypt(timed(request)).await?.into_inner().cipher)
    }

    pub(crate) async fn decrypt_v1(&mut self, cipher: &[u8]) -> Result<Vec<u8>, Status> {
        let request = v1beta1::DecryptRequest { version: "v1beta1".into(), cipher: cipher.to_vec() };
        Ok(self.v1.decrypt(timed(request)).await?.into_inner().plain)
    }

    pub(crate) async fn encrypt_v2(&mut self, plaintext: &[u8]) -> Result<v2::EncryptResponse, Status> {
        let request = v2::EncryptRequest { plaintext: plaintext.to_vec(), uid: "test".into() };
        Ok(self.v2.encrypt(timed(request)).await?.into_inner())
    }

    pub(crate) async fn decrypt_v2(&mut self, sealed: v2::EncryptResponse) -> Result<Vec<u8>, Status> {
        let v2::EncryptResponse { ciphertext, key_id, annotations } = sealed;
        let request = v2::DecryptRequest { ciphertext, uid: "test".into(), key_id, annotations };
        Ok(self.v2.decrypt(timed(request)).await?.into_inner().plaintext)
    }

    pub(crate) async fn status(&mut self) -> Result<v2::StatusResponse, Status> {
        Ok(self.v2.status(timed(v2::StatusRequest {})).await?.into_inner())
    }

    /// Both APIs, there and back.
    pub(crate) async fn round_trips(&mut self) -> Result<(), Status> {
        let sealed = self.encrypt_v1(b"0123456789abcdef").await?;
        assert_eq!(self.decrypt_v1(&sealed).await?, b"0123456789abcdef");
        let sealed = self.encrypt_v2(b"0123456789abcdef").await?;
        assert_eq!(self.decrypt_v2(sealed).await?, b"0123456789abcdef");
        Ok(())
    }

    /// Waits until Status says `ok`, or until it does not.
    pub(crate) async fn until_status(&mut self, ok: bool) -> v2::StatusResponse {
        let polled = timeout(PATIENCE, async {
            loop {
                let status = self.status().await.unwrap();
                if (status.healthz == "ok") == ok {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(50)).await; // between polls, as kube-apiserver does
            }
        });
        polled.await.expect("the status does not change")
    }
}

fn timed<M>(message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.set_timeout(CALL);
    request
}

/// Runs `clients` loops of round trips until told to stop; gives how many ran, and every failure.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<(u64, Vec<Status>)>>,
}

impl Load {
    pub(crate) fn start(daemon: &Daemon, clients: usize) -> Self {
        let (stop, stopped) = watch::channel(false);
        let run = |_| {
            let (mut client, stopped) = (daemon.client(), stopped.clone());
            tokio::spawn(async move {
                let (mut served, mut failures) = (0, Vec::new());
                while !*stopped.borrow() {
                    match client.round_trips().await {
                        Ok(()) => served += 1,
                        Err(status) => failures.push(status),
                    }
                }
                (served, failures)
            })
        };
        Self { tasks: (0..clients).map(run).collect(), stop }
    }

    pub(crate) async fn stop(self) -> (u64, Vec<Status>) {
        self.stop.send_replace(true);
        let (mut served, mut failures) = (0, Vec::new());
        for task in self.tasks {
            let (count, failed) = task.await.unwrap();
            served += count;
            failures.extend(failed);
        }
        (served, failures)
    }
}

/// What a run of the program prints, and its exit code.
pub(crate) fn run(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_azure-kms-provider")).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

pub(crate) fn annotation(annotations: &HashMap<String, Vec<u8>>, name: &str) -> String {
    String::from_utf8(annotations[name].clone()).unwrap()
}
