//! The emulator and the daemon, as processes in a temporary folder.

use std::path::PathBuf;

use akv_emulator::Info;
use kms_testkit::{free_port, http};
use tempfile::TempDir;

use crate::program::Program;
use crate::programs::Programs;
use crate::report::Report;

/// The running daemon and emulator. They end, and their folder is removed, when it is dropped.
pub(crate) struct World {
    pub(crate) daemon: Program,
    pub(crate) emulator: Program,
    /// The daemon's gRPC socket.
    pub(crate) socket: PathBuf,
    /// The base URL of its health checks.
    pub(crate) healthz: String,
    /// The URL of its metrics.
    pub(crate) metrics: String,
    /// The emulator's folder.
    pub(crate) vault: PathBuf,
    _folder: TempDir,
}

impl World {
    /// Starts the emulator, then the daemon with the flags that the emulator wrote down.
    ///
    /// # Errors
    /// Fails if either cannot be started or ends before it is ready, such as when its port is taken.
    pub(crate) async fn start(programs: &Programs, report: &mut Report) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        let path = |name: &str| folder.path().join(name);
        let vault = path("vault");
        let emulator = report.step("akv-emulator starts", async {
            let args = ["--dir".to_owned(), vault.display().to_string()];
            let mut emulator = Program::start(&programs.path("akv-emulator"), &args, path("emulator.log"))?;
            emulator.wait_for("ready").await?;
            Ok((emulator, "vault \"emulator\", RSA-2048 key \"k8s\"".to_owned()))
        });
        let emulator = emulator.await?;
        let (socket, healthz, metrics) = (path("kms.socket"), free_port(), free_port());
        let daemon = report.step("azure-kms-provider starts", async {
            let args =
                std::fs::read_to_string(vault.join("args")).map_err(|error| format!("args: {error}"))?;
            let mut args: Vec<String> = args.lines().map(str::to_owned).collect();
            args.push(format!("--listen-addr=unix://{}", socket.display()));
            args.extend(["--bind-address=127.0.0.1".into(), "--health-interval=200ms".into()]);
            args.extend([format!("--healthz-port={healthz}"), format!("--metrics-addr={metrics}")]);
            let mut daemon = Program::start(&programs.path("azure-kms-provider"), &args, path("daemon.log"))?;
            daemon.wait_for("Listening for connections").await?;
            Ok((daemon, "listens on its unix socket".to_owned()))
        });
        let daemon = daemon.await?;
        let healthz = format!("http://127.0.0.1:{healthz}");
        let metrics = format!("http://127.0.0.1:{metrics}/metrics");
        Ok(Self { daemon, emulator, socket, healthz, metrics, vault, _folder: folder })
    }

    /// Returns the status and the body of that page of the daemon.
    ///
    /// # Errors
    /// Fails if nobody answers.
    pub(crate) async fn ask(&self, method: &str, path: &str) -> Result<(u16, String), String> {
        http(method, &format!("{}{path}", self.healthz)).await
    }

    /// Returns what the emulator wrote down for its clients.
    ///
    /// # Errors
    /// Fails if it cannot be read.
    pub(crate) fn info(&self) -> Result<Info, String> {
        let path = self.vault.join("emulator.json");
        let info = std::fs::read(&path).map_err(|error| error.to_string());
        let info = info.and_then(|info| serde_json::from_slice(&info).map_err(|error| error.to_string()));
        info.map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Waits until one of the two ends by itself, and returns what to say about it.
    pub(crate) async fn ended(&mut self) -> String {
        tokio::select! {
            ended = self.daemon.ended() => ended,
            ended = self.emulator.ended() => ended,
        }
    }

    /// Ends both with SIGTERM: the daemon drains and exits 0.
    ///
    /// # Errors
    /// Fails if one does not end, or not as it should.
    pub(crate) async fn stop(&mut self, report: &mut Report) -> Result<(), String> {
        let (daemon, socket) = (&mut self.daemon, &self.socket);
        let stopped = report.step("azure-kms-provider gets SIGTERM", async {
            let status = daemon.terminate().await?;
            if !status.success() {
                return Err(status.to_string());
            }
            if socket.exists() {
                return Err("the socket is still there".to_owned());
            }
            Ok(((), "drained, socket removed, exit 0".to_owned()))
        });
        stopped.await?;
        self.emulator.terminate().await.map(drop)
    }

    /// Ends both at once.
    pub(crate) async fn kill(&mut self) {
        self.daemon.kill().await;
        self.emulator.kill().await;
    }
}
