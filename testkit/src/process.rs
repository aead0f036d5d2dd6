//! A child process and its output; killed when dropped.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::timeouts::TEST_TIMEOUT;

/// A running child. Its standard output and standard error are collected together, line by line.
pub struct Process {
    /// The program, for errors.
    name: String,
    /// The process.
    child: Child,
    /// Standard output and standard error until now.
    log: watch::Receiver<String>,
}

impl Process {
    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started; names the program.
    pub fn spawn(command: &mut Command) -> Result<Self, String> {
        Self::spawn_reading(command, Stdio::null())
    }

    /// Starts it with that standard input.
    ///
    /// # Errors
    /// It cannot be started; names the program.
    pub fn spawn_reading(command: &mut Command, input: Stdio) -> Result<Self, String> {
        let name = command.get_program().to_string_lossy().into_owned();
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(input);
        let mut child = piped.spawn().map_err(|error| format!("{name}: {error}"))?;
        let (lines, log) = watch::channel(String::new());
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|out| Box::new(out) as _),
            child.stderr.take().map(|err| Box::new(err) as _),
        ];
        for output in outputs.into_iter().flatten() {
            let lines = lines.clone();
            thread::spawn(move || collect(output, &lines));
        }
        Ok(Self { name, child, log })
    }

    /// Returns everything that it wrote until now.
    pub fn log(&self) -> String {
        self.log.borrow().clone()
    }

    /// Waits until it wrote that text that many times.
    ///
    /// # Errors
    /// The process ends or [`TEST_TIMEOUT`] passes before that; with the log.
    pub async fn wait_for(&self, text: &str, times: usize) -> Result<(), String> {
        let mut log = self.log.clone();
        let written = timeout(TEST_TIMEOUT, log.wait_for(|log| log.matches(text).count() >= times)).await;
        if written.is_ok_and(|written| written.is_ok()) {
            Ok(())
        } else {
            Err(format!("{} did not write {text:?} {times} times:\n{}", self.name, self.log()))
        }
    }

    /// Returns its resident memory in KiB, as the kernel counts it (`VmRSS` of `proc_pid_status(5)`).
    ///
    /// # Errors
    /// It has ended.
    pub fn resident_kib(&self) -> Result<u64, String> {
        self.memory_kib("VmRSS:")
    }

    /// Returns the most resident memory that it ever had, in KiB (`VmHWM`).
    ///
    /// # Errors
    /// It has ended.
    pub fn peak_kib(&self) -> Result<u64, String> {
        self.memory_kib("VmHWM:")
    }

    /// Reads a field of `/proc/{pid}/status`.
    ///
    /// # Errors
    /// It has ended.
    fn memory_kib(&self, field: &str) -> Result<u64, String> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.map_err(|error| format!("{}: {error}", self.name))?;
        let value = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
        value.trim().trim_end_matches(" kB").parse().map_err(|_| format!("{}: no {field}", self.name))
    }

    /// Returns its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap()).unwrap()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It does not end within [`TEST_TIMEOUT`]; with the log.
    pub async fn exit(&mut self) -> Result<ExitStatus, String> {
        let mut log = self.log.clone();
        let closed = timeout(TEST_TIMEOUT, async { while log.changed().await.is_ok() {} }).await;
        closed.map_err(|_| format!("{} does not end:\n{}", self.name, self.log()))?;
        self.child.wait().map_err(|error| format!("{}: {error}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill(); // an error: it has ended
        let _ = self.child.wait();
    }
}

/// Appends the output to the log, line by line, until its end.
fn collect(output: impl Read, lines: &watch::Sender<String>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        lines.send_modify(|log| {
            log.push_str(&line);
            log.push('\n');
        });
    }
}
