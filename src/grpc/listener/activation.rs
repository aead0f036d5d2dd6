//! Socket activation (`sd_listen_fds(3)`): a listening socket that systemd, or another parent process, keeps open.
//!
//! It continues to listen during a restart, so that clients wait in its backlog and are never refused. This process
//! does not own it, and so never removes its file.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

use crate::config::ListenAddr;

/// The write permissions of group and others, which let them connect.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The file descriptors that `LISTEN_FDS` announces to this process: each a unix socket, or an error if it is not one.
pub(crate) struct Inherited(Vec<io::Result<UnixListener>>);

impl Inherited {
    /// Takes ownership of them. Changes the environment, and trusts the numbers in it, so call it before this process
    /// starts a thread or opens a file.
    pub(crate) fn take() -> Self {
        let mut announced = ListenFd::from_env();
        let count = announced.len();
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let take = |index| announced.take_unix_listener(index)?.ok_or_else(missing);
        Self((0..count).map(take).collect())
    }

    /// Returns the socket to serve on; `None` when nothing was inherited.
    ///
    /// # Errors
    /// A sentence, when several sockets were inherited, or one that is not a unix socket listening on `address`.
    pub(super) fn socket(self, address: &ListenAddr) -> Result<Option<UnixListener>, String> {
        let count = self.0.len();
        let mut sockets = self.0.into_iter();
        let (first, None) = (sockets.next(), sockets.next()) else {
            return Err(format!("{count} sockets were inherited (LISTEN_FDS): one is expected"));
        };
        let Some(socket) = first else { return Ok(None) };
        let not_a_socket = |error| format!("what was inherited (LISTEN_FDS) cannot be served on: {error}");
        let socket = socket.map_err(not_a_socket)?;
        check(&socket, address)?;
        Ok(Some(socket))
    }
}

/// Checks that the socket listens on `address`.
///
/// # Errors
/// A sentence, when it does not listen, or listens on another address.
fn check(socket: &UnixListener, address: &ListenAddr) -> Result<(), String> {
    if !socket_acceptconn(socket).unwrap_or(false) {
        return Err("the inherited socket (LISTEN_FDS) does not listen".into());
    }
    let own = socket.local_addr().ok().and_then(|own| listen_addr(&own));
    if own.as_ref() != Some(address) {
        let own = own.map_or("no address".into(), |own| own.to_string());
        return Err(format!("the inherited socket (LISTEN_FDS) is at {own}: name the same address twice"));
    }
    if let ListenAddr::Path(path) = address {
        warn_of_permissions(path);
    }
    Ok(())
}

fn listen_addr(own: &SocketAddr) -> Option<ListenAddr> {
    let path = own.as_pathname().map(|path| ListenAddr::Path(path.to_owned()));
    path.or_else(|| Some(ListenAddr::Abstract(str::from_utf8(own.as_abstract_name()?).ok()?.to_owned())))
}

fn warn_of_permissions(path: &Path) {
    match std::fs::metadata(path).map(|metadata| metadata.permissions().mode() & 0o777) {
        Ok(mode) if mode & WRITABLE_BY_OTHERS == 0 => {}
        Ok(mode) => {
            let danger = "Others than its owner can use the inherited socket, and decrypt everything";
            tracing::warn!(path = %path.display(), mode = format!("{mode:04o}"), "{danger}");
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), err = %error, "The inherited socket has no file");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Listens on the address.
    ///
    /// # Errors
    /// The address cannot be bound.
    fn listen_at(address: &ListenAddr) -> io::Result<UnixListener> {
        match address {
            ListenAddr::Path(path) => UnixListener::bind(path),
            ListenAddr::Abstract(name) => {
                UnixListener::bind_addr(&SocketAddr::from_abstract_name(name.as_bytes())?)
            }
        }
    }

    fn refused(inherited: Inherited, address: &ListenAddr) -> String {
        inherited.socket(address).unwrap_err()
    }

    #[test]
    fn nothing_inherited_is_no_error() {
        assert!(Inherited(Vec::new()).socket(&ListenAddr::Abstract("x".into())).unwrap().is_none());
    }

    #[test]
    fn the_socket_at_the_address_is_taken_with_a_path_and_with_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("azure-kms-provider-inherited-{}", std::process::id());
        for address in [ListenAddr::Path(folder.path().join("kms.socket")), ListenAddr::Abstract(name)] {
            assert!(Inherited(vec![listen_at(&address)]).socket(&address).unwrap().is_some(), "{address}");
        }
    }

    #[test]
    fn a_socket_at_another_address_is_refused_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let address = ListenAddr::Path(folder.path().join("kms.socket"));
        let problem = refused(Inherited(vec![listen_at(&address)]), &ListenAddr::Path("/other".into()));
        assert!(problem.contains(&address.to_string()), "{problem}");
    }

    #[test]
    fn several_sockets_are_refused_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let address = ListenAddr::Path(folder.path().join("kms.socket"));
        let socket = listen_at(&address).unwrap();
        let twice = vec![socket.try_clone(), Ok(socket)];
        assert!(refused(Inherited(twice), &address).starts_with("2 sockets"));
    }

    #[test]
    fn a_connection_is_refused() {
        let (connection, _peer) = UnixStream::pair().unwrap();
        let connection = UnixListener::from(OwnedFd::from(connection));
        let problem = refused(Inherited(vec![Ok(connection)]), &ListenAddr::Abstract("x".into()));
        assert!(problem.contains("does not listen"), "{problem}");
    }

    #[test]
    fn what_is_no_socket_is_refused_with_the_reason() {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "fd 3 is not a socket");
        let problem = refused(Inherited(vec![Err(error)]), &ListenAddr::Abstract("x".into()));
        assert!(problem.contains("fd 3 is not a socket"), "{problem}");
    }
}
