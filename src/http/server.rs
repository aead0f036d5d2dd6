//! The server on a TCP port that every host on the node's network can reach. It limits the number of connections and
//! their duration, so that no client exhausts the process's file descriptors.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt::set_ipv6_v6only;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::backoff::{BACKLOG, after_failed_accept};

/// The buffer of a connection, in bytes, which bounds the headers of a request too. hyper's default is 400 KiB.
const BUFFER_SIZE: usize = 16 * 1024;
/// Connections served at a time; more wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 256;
/// Connections of one address at a time, so that no client locks the kubelet out; more are closed at once.
const MAX_PER_ADDRESS: usize = 32;
/// The time within which a client must send a request's headers, also after the previous request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The lifetime of a connection: longer than the longest timeouts of the kubelet and Prometheus.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// The reason why an address cannot be listened on, and the fix.
pub(crate) struct NotBound {
    /// The failure, with the flag and the address.
    pub cause: String,
    /// The command or setting.
    pub fix: String,
}

impl NotBound {
    fn new(flag: &str, addr: SocketAddr, error: &io::Error) -> Self {
        let fix = match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("another --{flag}, or stop who has it: ss -lptn 'sport = :{}'", addr.port())
            }
            io::ErrorKind::AddrNotAvailable => {
                format!("an address of this machine in --{flag} or --bind-address")
            }
            _ => format!("another --{flag}, or run as a user who may listen there"),
        };
        Self { cause: format!("--{flag}: cannot listen on {addr}: {error}"), fix }
    }
}

impl fmt::Display for NotBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.cause, self.fix)
    }
}

/// Listens on the address of that flag. `[::]` accepts IPv4 too, and falls back to 0.0.0.0 on a host without IPv6.
///
/// # Errors
/// The address cannot be bound: the reason, and the fix.
pub(crate) fn bind(flag: &str, addr: SocketAddr) -> Result<TcpListener, NotBound> {
    let mut bound = listen(addr);
    let no_ipv6 = |error: &io::Error| {
        !matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
    };
    if addr.is_ipv6() && addr.ip().is_unspecified() && bound.as_ref().is_err_and(no_ipv6) {
        bound = listen((Ipv4Addr::UNSPECIFIED, addr.port()).into());
    }
    bound.map_err(|error| NotBound::new(flag, addr, &error))
}

/// Listens on that address. `[::]` accepts IPv4 too, whatever `net.ipv6.bindv6only` says (RFC 3493 section 5.3), as the
/// Go plugin does.
///
/// # Errors
/// As `bind(2)`.
fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        set_ipv6_v6only(&socket, false)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Serves the routes until the future is dropped.
pub(crate) async fn serve(listener: TcpListener, routes: Router) {
    let (permits, addresses) = (Arc::new(Semaphore::new(MAX_CONNECTIONS)), AddressLimit::default());
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, addr)) => {
                let Some(address_permit) = addresses.acquire(addr.ip()) else { continue };
                let routes = routes.clone();
                tokio::spawn(async move {
                    let _ = timeout(CONNECTION_TIMEOUT, serve_connection(stream, routes)).await;
                    drop((address_permit, permit));
                });
            }
            Err(error) => after_failed_accept(&error).await,
        }
    }
}

/// The limit on the connections of each address. Clones share it.
#[derive(Clone, Default)]
struct AddressLimit(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// The permit of one connection of an address, which is released when it is dropped.
struct AddressPermit(AddressLimit, IpAddr);

impl AddressLimit {
    fn acquire(&self, addr: IpAddr) -> Option<AddressPermit> {
        let addr = addr.to_canonical();
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(addr).or_default();
        (*count < MAX_PER_ADDRESS).then(|| {
            *count += 1;
            AddressPermit(self.clone(), addr)
        })
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut counts = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.1);
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, routes: Router) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(BUFFER_SIZE);
    // an error is the client's: it has disconnected, or does not speak HTTP
    let _ = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes)).await;
}

#[cfg(test)]
mod tests {
    use rustix::net::sockopt::ipv6_v6only;

    use super::*;

    #[tokio::test]
    async fn all_addresses_are_those_of_ipv4_too() {
        let Ok(listener) = listen("[::]:0".parse().unwrap()) else { return }; // a host without IPv6
        assert_eq!(ipv6_v6only(&listener), Ok(false));
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    }
}
