//! A program that was started. It writes its log into a file.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use kms_testkit::{TEST_TIMEOUT, without_proxies};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::time::{sleep, timeout};

/// The time between two looks at a log.
const POLL: Duration = Duration::from_millis(1);

/// A running program; killed when dropped.
pub(crate) struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it, in a process group of its own: a terminal's Ctrl-C is for the quickstart, which ends it in order.
    ///
    /// # Errors
    /// Fails if the log cannot be created or the program cannot be started; names it.
    pub(crate) fn start(program: &Path, args: &[String], log: PathBuf) -> Result<Self, String> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let started = File::create(&log).and_then(|file| {
            let mut command = Command::new(program);
            without_proxies(&mut command).args(args).env_remove("RUST_BACKTRACE").process_group(0);
            command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
            tokio::process::Command::from(command).kill_on_drop(true).spawn()
        });
        let child = started.map_err(|error| format!("{name}: {error}"))?;
        Ok(Self { name, child, log })
    }

    /// Returns its log until now.
    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }

    /// Returns the path of its log.
    pub(crate) fn log_file(&self) -> &Path {
        &self.log
    }

    /// Waits until its log holds that text.
    ///
    /// # Errors
    /// Fails if the program ends before, or after [`TEST_TIMEOUT`]; with the log.
    pub(crate) async fn wait_for(&mut self, text: &str) -> Result<(), String> {
        let log = self.log.clone();
        let written = async {
            while !read(&log).contains(text) {
                sleep(POLL).await;
            }
        };
        tokio::select! {
            biased;
            () = written => Ok(()),
            ended = self.ended() => Err(format!("{ended}; its log:\n{}", self.log())),
            () = sleep(TEST_TIMEOUT) => Err(format!("{} did not write {text:?}; its log:\n{}", self.name, self.log())),
        }
    }

    /// Waits for an end that nobody asked for, and returns what to say about it.
    pub(crate) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => format!("{} has ended ({status})", self.name),
            Err(error) => format!("{}: {error}", self.name),
        }
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Errors
    /// Fails if it does not end within [`TEST_TIMEOUT`], or has ended already.
    pub(crate) async fn terminate(&mut self) -> Result<ExitStatus, String> {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let pid = pid.ok_or_else(|| format!("{} had ended", self.name))?;
        kill_process(pid, Signal::TERM).map_err(|error| format!("{}: {error}", self.name))?;
        let status = timeout(TEST_TIMEOUT, self.child.wait()).await;
        let status = status.map_err(|_| format!("{} does not end", self.name))?;
        status.map_err(|error| format!("{}: {error}", self.name))
    }

    /// Kills it.
    pub(crate) async fn kill(&mut self) {
        let _ = self.child.kill().await; // an error: it has ended
    }
}

fn read(log: &Path) -> String {
    std::fs::read(log).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn start(script: &str, folder: &tempfile::TempDir) -> Program {
        let args = ["-c".to_owned(), script.to_owned()];
        Program::start(Path::new("/bin/sh"), &args, folder.path().join("log")).unwrap()
    }

    #[tokio::test]
    async fn a_program_that_ends_before_it_is_ready_is_named_with_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut program = start("echo the port is taken >&2; exit 3", &folder);
        let error = program.wait_for("ready").await.unwrap_err();
        assert_eq!(error, "sh has ended (exit status: 3); its log:\nthe port is taken\n");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error =
            Program::start(&folder.path().join("daemon"), &[], folder.path().join("log")).err().unwrap();
        assert!(error.starts_with("daemon: No such file"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_is_dropped_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut program = start("echo ready; exec sleep 1000", &folder);
        program.wait_for("ready").await.unwrap();
        let pid = Pid::from_raw(program.child.id().unwrap().try_into().unwrap()).unwrap();
        drop(program);
        let gone = async {
            while rustix::process::test_kill_process(pid).is_ok() {
                sleep(POLL).await;
            }
        };
        timeout(TEST_TIMEOUT, gone).await.unwrap();
    }
}
