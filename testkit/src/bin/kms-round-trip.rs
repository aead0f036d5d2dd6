//! `kms-round-trip SOCKET`: Encrypt and Decrypt through both APIs, as soon as the daemon at that socket serves them.
//! For scripts: exit code 0, or 1 and the last failure.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use kms_testkit::{Client, TEST_TIMEOUT};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(socket) = std::env::args_os().nth(1) else { return failed("usage: kms-round-trip SOCKET") };
    match round_trips(socket.into()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Repeats the round trips until they succeed.
///
/// # Errors
/// They still fail after [`TEST_TIMEOUT`]; gives the last failure.
async fn round_trips(socket: PathBuf) -> Result<(), String> {
    let begin = Instant::now();
    loop {
        match Client::new(socket.clone()).round_trips().await {
            Ok(()) => return Ok(()),
            Err(status) if begin.elapsed() > TEST_TIMEOUT => return Err(status.to_string()),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await, // between polls
        }
    }
}

/// Prints the error.
fn failed(error: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "kms-round-trip: {error}"); // standard error may be closed
    ExitCode::FAILURE
}
