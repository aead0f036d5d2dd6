//! The emulator as a process: `akv-emulator --dir DIR`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use akv_emulator::{Emulator, Error, Options};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// Azure Key Vault keys, Entra ID and IMDS on loopback, for development and tests.
///
/// Keeps its keys in DIR. When it is ready it has written emulator.json, ca.pem, azure.json, azure-msi.json and args
/// (one flag of azure-kms-provider a line) there, and prints "ready".
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Folder for keys and files; made if it does not exist
    #[arg(long)]
    dir: PathBuf,
    /// Address of Key Vault and Entra ID (TLS); loopback only [default: a free port of 127.0.0.1]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Address of IMDS [default: a free port of 127.0.0.1]
    #[arg(long, value_name = "ADDR:PORT")]
    imds_listen: Option<SocketAddr>,
    /// Address of the control API [default: a free port of 127.0.0.1]
    #[arg(long, value_name = "ADDR:PORT")]
    control_listen: Option<SocketAddr>,
    /// Address of the proxy for proxy mode [default: a free port of 127.0.0.1]
    #[arg(long, value_name = "ADDR:PORT")]
    proxy_listen: Option<SocketAddr>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Args { dir, listen, imds_listen, control_listen, proxy_listen } = Args::parse();
    match run(Options { dir, listen, imds_listen, control_listen, proxy_listen }).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "akv-emulator: {error}"); // standard error may be closed
            ExitCode::FAILURE
        }
    }
}

/// Starts the emulator, and stops it on SIGTERM or SIGINT.
///
/// # Errors
/// It cannot be started.
async fn run(options: Options) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let emulator = Emulator::start(options).await?;
    writeln!(std::io::stdout(), "ready")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    emulator.shutdown().await;
    Ok(())
}
