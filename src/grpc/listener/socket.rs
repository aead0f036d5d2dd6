//! The unix socket. It is created with mode 0600, never replaces one that is in use, and is removed at the end. An
//! inherited one is not removed.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod};
use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::activation::Inherited;
use super::owner::SocketOwner;
use crate::backoff::BACKLOG;
use crate::config::ListenAddr;
use crate::telemetry::LIFECYCLE;

const FOR_ITS_OWNER_ONLY: Mode = Mode::from_raw_mode(0o600);

/// A listener, and the file to remove when it is closed.
pub(crate) struct BoundSocket {
    /// The listener.
    pub listener: UnixListener,
    /// The file, when the socket is not abstract and this process created it.
    pub file: Option<SocketFile>,
}

/// The file of a socket that this process created.
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

/// The device, the inode and its change time: a file system may give a removed socket's inode to the next one.
type Identity = (u64, u64, i64, i64);

impl SocketFile {
    /// Removes the file, unless another process has replaced it.
    pub(crate) fn remove(&self) {
        let is_ours = identity(&self.path).is_ok_and(|identity| identity == self.identity);
        if is_ours && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), err = %error, "The socket could not be removed");
        }
    }
}

impl BoundSocket {
    /// Takes the inherited socket if there is one, and otherwise binds the address of `--listen-addr`.
    ///
    /// # Errors
    /// A sentence that names the flag, when an unexpected socket was inherited, or when [`Self::bind`] fails.
    pub(crate) async fn open(address: &ListenAddr, inherited: Inherited) -> Result<Self, String> {
        let named = |problem: String| format!("--listen-addr {address}: {problem}");
        let Some(socket) = inherited.socket(address).map_err(named)? else {
            return Self::bind(address).await;
        };
        tracing::info!(target: LIFECYCLE, "Serving on the inherited socket");
        let listener = socket.set_nonblocking(true).and_then(|()| UnixListener::from_std(socket));
        Ok(Self { listener: listener.map_err(|error| named(error.to_string()))?, file: None })
    }

    /// Binds the address of `--listen-addr`. Replaces a stale socket.
    ///
    /// # Errors
    /// A sentence with the path and the fix, when the parent folder is missing, the path is not a socket, the socket is
    /// in use, or a permission is missing.
    pub(crate) async fn bind(address: &ListenAddr) -> Result<Self, String> {
        let ListenAddr::Path(path) = address else {
            let listener = bind(&address.socket_path(), address)?;
            return Ok(Self { listener, file: None });
        };
        clear_path(path).await.map_err(|problem| format!("--listen-addr {address}: {problem}"))?;
        let listener = bind(path, address)?;
        let identity = identity(path).map_err(|error| format!("--listen-addr {address}: {error}"))?;
        Ok(Self { listener, file: Some(SocketFile { path: path.clone(), identity }) })
    }
}

/// Listens at the path, or the abstract name. The file has its mode from the first moment on, as the kernel takes it
/// from the socket (`unix(7)`); a umask would be that of all threads.
///
/// # Errors
/// As `bind(2)`.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let socket = UnixSocket::new_stream()?;
    fchmod(&socket, FOR_ITS_OWNER_ONLY)?;
    socket.bind(path)?;
    socket.listen(BACKLOG)
}

/// Binds the path, or the abstract name, with mode 0600.
///
/// # Errors
/// A sentence that names the flag, when the address is in use or cannot be bound.
fn bind(path: &Path, address: &ListenAddr) -> Result<UnixListener, String> {
    listen(path).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("--listen-addr {address}: another process listens there; stop it first")
        }
        _ => format!("--listen-addr {address}: cannot listen there: {error}"),
    })
}

/// Removes a stale socket at the path, so that it can be bound.
///
/// # Errors
/// A sentence, when the parent folder is missing, the path is not a socket, the socket is in use, or a system call
/// fails.
async fn clear_path(path: &Path) -> Result<(), String> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    if !parent.is_dir() {
        return Err(format!("the folder {} does not exist; create it or mount it", parent.display()));
    }
    let metadata = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.to_string()),
        Ok(metadata) => metadata,
    };
    if !metadata.file_type().is_socket() {
        return Err("something that is not a socket stands there; move it away or choose another path".into());
    }
    match UnixStream::connect(path).await {
        Ok(connection) => Err(in_use_by(&SocketOwner::of(&connection))),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            tracing::info!(path = %path.display(), "Removing a stale socket");
            std::fs::remove_file(path).map_err(|error| format!("the stale socket cannot be removed: {error}"))
        }
        Err(error) => Err(format!("cannot tell whether the socket is in use: {error}")),
    }
}

fn in_use_by(owner: &SocketOwner) -> String {
    match owner {
        SocketOwner::Systemd => {
            "systemd listens on that socket: start the service that it hands the socket to, or stop \
                            the .socket unit"
                .into()
        }
        SocketOwner::Process(pid) if u32::try_from(*pid) == Ok(std::process::id()) => {
            "this process has inherited that socket, but LISTEN_PID or LISTEN_FDS does not say so: LISTEN_PID must be \
             its own process id, so start it with exec, and LISTEN_FDS must be 1"
                .into()
        }
        other => format!("{other} listens on that socket; stop it first"),
    }
}

/// Returns the identity of the file at the path.
///
/// # Errors
/// The file does not exist, or its metadata cannot be read.
fn identity(path: &Path) -> io::Result<Identity> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn path_in(folder: &tempfile::TempDir) -> PathBuf {
        folder.path().join("kms.socket")
    }

    /// Binds the path.
    ///
    /// # Errors
    /// Those of [`BoundSocket::bind`].
    async fn bind_at(path: &Path) -> Result<BoundSocket, String> {
        BoundSocket::bind(&ListenAddr::Path(path.to_owned())).await
    }

    #[tokio::test]
    async fn the_socket_is_for_its_owner_only_and_goes_when_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = path_in(&folder);
        let socket = bind_at(&path).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        socket.file.unwrap().remove();
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_one_that_was_inherited_unannounced_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = path_in(&folder);
        drop(bind_at(&path).await.unwrap().listener); // the file stays behind
        let live = bind_at(&path).await.unwrap();
        let refused = bind_at(&path).await.err().unwrap();
        assert!(refused.contains("LISTEN_PID") && !refused.contains("stop it"), "{refused}");
        drop(live);
    }

    #[test]
    fn another_process_is_named_and_is_to_be_stopped() {
        let problem = in_use_by(&SocketOwner::Process(1));
        assert_eq!(problem, "the process 1 listens on that socket; stop it first");
    }

    #[tokio::test]
    async fn what_is_not_a_socket_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = path_in(&folder);
        std::fs::write(&path, "precious").unwrap();
        assert!(bind_at(&path).await.err().unwrap().contains("not a socket"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let refused = bind_at(&folder.path().join("absent/kms.socket")).await.err().unwrap();
        assert!(refused.contains("absent does not exist"), "{refused}");
    }

    #[tokio::test]
    async fn a_socket_that_another_process_put_there_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = path_in(&folder);
        let BoundSocket { listener, file } = bind_at(&path).await.unwrap();
        drop(listener); // as when it drains: to the next process the socket is stale
        let _second = bind_at(&path).await.unwrap();
        file.unwrap().remove();
        assert!(path.exists());
    }
}
