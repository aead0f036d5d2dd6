//! The socket's folder, the process that listens there already, and the ports beside it.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::Access as Mode;
use tokio::net::UnixStream;

use super::checks::Check;
use super::report::CheckResult;
use crate::actors::{Probe, SocketClient};
use crate::config::{Config, ListenAddr};
use crate::grpc::SocketOwner;
use crate::http;

const SERVED_FIX: &str = "stop it first, or another --listen-addr, or --wait=30s to check that daemon itself";
/// The time limit of a process that listens there.
const STEP: Duration = Duration::from_secs(2);

/// Checks the folder of the socket, and that no other file is in the socket's place.
pub(super) fn folder(address: &ListenAddr) -> CheckResult {
    let ListenAddr::Path(path) = address else {
        return Check::SocketFolder.skipped("an abstract socket has none");
    };
    let parent = path.parent().unwrap_or(Path::new("/"));
    let shown = parent.display();
    if !parent.is_dir() {
        let fix = format!("mkdir -p -m 0700 {shown}, and mount it (hostPath with DirectoryOrCreate)");
        return Check::SocketFolder.failed(format!("the folder {shown} does not exist"), fix);
    }
    if let Err(error) = rustix::fs::access(parent, Mode::WRITE_OK | Mode::EXEC_OK) {
        let fix = format!("chown the folder {shown} to the daemon's user, and mount it without readOnly");
        return Check::SocketFolder.failed(format!("no socket can be made in {shown}: {error}"), fix);
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            let cause = format!("something that is not a socket stands at {}", path.display());
            Check::SocketFolder.failed(cause, format!("rm -r {}, or another --listen-addr", path.display()))
        }
        _ => Check::SocketFolder.passed(format!("a socket can be made in {shown}")),
    }
}

/// Checks that nobody listens there, unless a daemon is expected to, or systemd until it hands the socket to the daemon.
pub(super) async fn owner(address: &ListenAddr, is_expected: bool) -> CheckResult {
    match (UnixStream::connect(address.socket_path()).await, is_expected) {
        (Ok(_), true) => Check::Socket.passed(format!("a daemon listens at {address}")),
        (Ok(connection), false) => owned(address, &SocketOwner::of(&connection)).await,
        (Err(error), false) if is_free(&error) => Check::Socket.passed(format!("{address} is free")),
        // it may still be starting
        (Err(error), true) if is_free(&error) => Check::Socket.skipped("since it is waited for"),
        (Err(error), _) => {
            let fix = "run as the daemon's user, or chown the socket";
            Check::Socket.failed(format!("cannot tell who listens at {address}: {error}"), fix)
        }
    }
}

/// Tells a daemon from systemd alone, and from another process. The connection makes systemd start the service, if it is
/// not running.
async fn owned(address: &ListenAddr, owner: &SocketOwner) -> CheckResult {
    let (cause, fix) = match (Probe::new(address, STEP).version().await, owner) {
        (Ok(()), SocketOwner::Systemd) => (format!("a daemon serves {address} already"), SERVED_FIX),
        (Ok(()), _) => (format!("{owner} serves KMS at {address} already"), SERVED_FIX),
        (Err(_), SocketOwner::Systemd) => {
            return Check::Socket.passed(format!("systemd holds {address} for the daemon"));
        }
        (Err(_), _) => (
            format!("{owner} listens at {address} already, and does not answer as a KMS plugin"),
            "stop it first, or another --listen-addr",
        ),
    };
    Check::Socket.failed(cause, fix)
}

fn is_free(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Checks that both ports are free.
pub(super) async fn ports(config: &Config) -> CheckResult {
    for (flag, addr) in [("healthz-port", config.healthz.addr), ("metrics-addr", config.metrics_addr)] {
        if let Err(problem) = http::bind(flag, addr) {
            return Check::Ports.failed(problem.cause, problem.fix);
        }
    }
    let (healthz, metrics) = (config.healthz.addr.port(), config.metrics_addr.port());
    Check::Ports.passed(format!("{healthz} and {metrics} are free"))
}
