//! `kms-round-trip SOCKET`: Encrypt and Decrypt through both APIs, as soon as the daemon at that socket serves them.
//! For scripts: exit code 0, or 1 and the last failure.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use kms_testkit::{Client, PATIENCE};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(socket) = std::env::args_os().nth(1) else { return failed("usage: kms-round-trip SOCKET") };
    match served(socket.into()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => failed(&problem),
    }
}

async fn served(socket: PathBuf) -> Result<(), String> {
    let begin = Instant::now();
    loop {
        match Client::new(socket.clone()).round_trips().await {
            Ok(()) => return Ok(()),
            Err(status) if begin.elapsed() > PATIENCE => return Err(status.to_string()),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await, // between polls
        }
    }
}

fn failed(problem: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "kms-round-trip: {problem}"); // nobody to tell when it is closed
    ExitCode::FAILURE
}
