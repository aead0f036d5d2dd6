//! The emulator and the daemon, as processes in a temporary folder.

use std::process::Command;

use kms_testkit::{Daemon, Process, Start};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::build::Programs;
use crate::report::Report;

/// What runs. Everything ends, and the folder goes, when it is dropped.
pub(crate) struct World {
    pub(crate) daemon: Daemon,
    emulator: Process,
    _folder: TempDir,
}

impl World {
    /// Starts the emulator, then the daemon with the flags that the emulator wrote down.
    pub(crate) async fn start(programs: &Programs, report: &mut Report) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        let vault = folder.path().join("vault");
        let emulator = report.step("akv-emulator starts", async {
            let emulator =
                Process::spawn(Command::new(programs.path("akv-emulator")).arg("--dir").arg(&vault))?;
            emulator.wait_for("ready", 1).await?;
            Ok((emulator, "vault \"emulator\", RSA-2048 key \"k8s\"".to_owned()))
        });
        let emulator = emulator.await?;
        let args = std::fs::read_to_string(vault.join("args")).map_err(|error| format!("args: {error}"))?;
        let args = args.lines().map(str::to_owned).collect();
        let start = Start::new(programs.path("azure-kms-provider"), folder.path(), args);
        let daemon = report.step("azure-kms-provider starts", async {
            let daemon = start.try_spawn()?;
            daemon.process.wait_for("Listening for connections", 1).await?;
            Ok((daemon, "listens on its unix socket".to_owned()))
        });
        Ok(Self { daemon: daemon.await?, emulator, _folder: folder })
    }

    pub(crate) fn log(&self) -> String {
        self.daemon.log()
    }

    /// Ends both with SIGTERM: the daemon drains and exits 0.
    pub(crate) async fn stop(&mut self, report: &mut Report) -> Result<(), String> {
        let (daemon, socket) = (&mut self.daemon.process, self.daemon.socket.clone());
        let stopped = report.step("azure-kms-provider gets SIGTERM", async {
            daemon.signal(Signal::TERM);
            let status = daemon.exit().await?;
            match (status.success(), socket.exists()) {
                (true, false) => Ok(((), "drained, socket removed, exit 0".to_owned())),
                (true, true) => Err("the socket is still there".to_owned()),
                (false, _) => Err(format!("{status}")),
            }
        });
        stopped.await?;
        self.emulator.signal(Signal::TERM);
        self.emulator.exit().await.map(drop)
    }
}
