//! The socket's place, who listens there already, and the ports beside it.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::Access as Mode;
use tokio::net::UnixStream;

use super::report::Check;
use crate::actors::{Probe, SocketClient};
use crate::config::{Config, ListenAddr};
use crate::grpc::SocketOwner;
use crate::http;

const FOLDER: &str = "socket-folder";
const SOCKET: &str = "socket";
pub(super) const PORTS: &str = "ports";
const SERVED: &str = "stop it first, or another --listen-addr, or --wait=30s to check that daemon itself";
/// How long who listens may take to answer.
const STEP: Duration = Duration::from_secs(2);

/// The folder of the socket, and what stands in its place.
pub(super) fn folder(address: &ListenAddr) -> Check {
    let ListenAddr::Path(path) = address else {
        return Check::skipped(FOLDER, "an abstract socket has none");
    };
    let parent = path.parent().unwrap_or(Path::new("/"));
    let shown = parent.display();
    if !parent.is_dir() {
        let mend = format!("mkdir -p -m 0700 {shown}, and mount it (hostPath with DirectoryOrCreate)");
        return Check::failed(FOLDER, format!("the folder {shown} does not exist"), mend);
    }
    if let Err(error) = rustix::fs::access(parent, Mode::WRITE_OK | Mode::EXEC_OK) {
        let mend = format!("chown the folder {shown} to the daemon's user, and mount it without readOnly");
        return Check::failed(FOLDER, format!("no socket can be made in {shown}: {error}"), mend);
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            let cause = format!("something that is not a socket stands at {}", path.display());
            Check::failed(FOLDER, cause, format!("rm -r {}, or another --listen-addr", path.display()))
        }
        _ => Check::passed(FOLDER, format!("a socket can be made in {shown}")),
    }
}

/// Who listens there: nobody, unless a daemon is `expected`, or systemd until it hands the socket to the daemon.
pub(super) async fn holder(address: &ListenAddr, expected: bool) -> Check {
    match (UnixStream::connect(address.socket_path()).await, expected) {
        (Ok(_), true) => Check::passed(SOCKET, format!("a daemon listens at {address}")),
        (Ok(connection), false) => held(address, &SocketOwner::of(&connection)).await,
        (Err(error), false) if is_free(&error) => Check::passed(SOCKET, format!("{address} is free")),
        // whoever started it may still be at it
        (Err(error), true) if is_free(&error) => Check::skipped(SOCKET, "since it is waited for"),
        (Err(error), _) => {
            let mend = "run as the daemon's user, or chown the socket";
            Check::failed(SOCKET, format!("cannot tell who listens at {address}: {error}"), mend)
        }
    }
}

/// By a daemon, by systemd alone, or by something else. systemd starts the service for this connection, if it does not run.
async fn held(address: &ListenAddr, holder: &SocketOwner) -> Check {
    let (cause, mend) = match (Probe::new(address, STEP).version().await, holder) {
        (Ok(()), SocketOwner::Systemd) => (format!("a daemon serves {address} already"), SERVED),
        (Ok(()), _) => (format!("{holder} serves KMS at {address} already"), SERVED),
        (Err(_), SocketOwner::Systemd) => {
            return Check::passed(SOCKET, format!("systemd holds {address} for the daemon"));
        }
        (Err(_), _) => (
            format!("{holder} listens at {address} already, and does not answer as a KMS plugin"),
            "stop it first, or another --listen-addr",
        ),
    };
    Check::failed(SOCKET, cause, mend)
}

fn is_free(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Whether both ports are free.
pub(super) async fn ports(config: &Config) -> Check {
    for (flag, addr) in [("healthz-port", config.healthz.addr), ("metrics-addr", config.metrics_addr)] {
        if let Err(problem) = http::bind(flag, addr).await {
            return Check::failed(PORTS, problem.cause, problem.mend);
        }
    }
    Check::passed(
        PORTS,
        format!("{} and {} are free", config.healthz.addr.port(), config.metrics_addr.port()),
    )
}
