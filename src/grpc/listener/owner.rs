//! The owner of a unix socket on which another process listens.

use std::fmt;

use tokio::net::UnixStream;

/// The process that listens on a socket (`SO_PEERCRED` of a connection to it).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SocketOwner {
    /// systemd, for the service of a `.socket` unit.
    Systemd,
    /// The process with that id.
    Process(i32),
    /// A process outside of this PID namespace, or one that the kernel does not report.
    Unknown,
}

impl SocketOwner {
    /// Returns the owner of the socket that accepted the connection.
    pub(crate) fn of(connection: &UnixStream) -> Self {
        let pid = connection.peer_cred().ok().and_then(|peer| peer.pid()).filter(|pid| *pid > 0);
        let Some(pid) = pid else { return Self::Unknown };
        match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
            Ok(name) if name.trim_end() == "systemd" => Self::Systemd,
            _ => Self::Process(pid),
        }
    }
}

impl fmt::Display for SocketOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Systemd => f.write_str("systemd"),
            Self::Process(pid) => write!(f, "the process {pid}"),
            Self::Unknown => f.write_str("a process outside of this container"),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn the_process_that_listens_is_told_by_its_id() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kms.socket");
        let _listener = UnixListener::bind(&path).unwrap();
        let connection = UnixStream::connect(&path).await.unwrap();
        let own = std::process::id();
        assert_eq!(SocketOwner::of(&connection).to_string(), format!("the process {own}"));
    }
}
