//! Serves a router on a TCP port that anybody on the node's network can reach: few connections, none of them idle for
//! long, so that strangers cannot use up the process's file descriptors.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::backoff::after_failed_accept;

/// Connections served at a time; others wait in the listener's backlog.
const CONNECTIONS: usize = 256;
/// Of them for one address, so that no stranger keeps the kubelet out; more are closed at once.
const PER_PEER: usize = 32;
/// How long a client may take to send a request's headers, also between two requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may last: longer than the kubelet's and Prometheus' longest timeouts.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// The reason why an address cannot be listened on, and the fix.
pub(crate) struct NotBound {
    /// Names the flag and the address.
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

/// Listens on the address of that flag. `[::]` takes IPv4 too, and gives way to 0.0.0.0 where there is no IPv6.
///
/// # Errors
/// The address cannot be bound: the reason, and the fix.
pub(crate) async fn bind(flag: &str, addr: SocketAddr) -> Result<TcpListener, NotBound> {
    let mut bound = TcpListener::bind(addr).await;
    let no_ipv6 = |error: &io::Error| {
        !matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
    };
    if addr.is_ipv6() && addr.ip().is_unspecified() && bound.as_ref().is_err_and(no_ipv6) {
        bound = TcpListener::bind((Ipv4Addr::UNSPECIFIED, addr.port())).await;
    }
    bound.map_err(|error| NotBound::new(flag, addr, &error))
}

/// Serves for as long as it is polled.
pub(crate) async fn serve(listener: TcpListener, routes: Router) {
    let (places, peers) = (Arc::new(Semaphore::new(CONNECTIONS)), Peers::default());
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, addr)) => {
                let Some(peer) = peers.admit(addr.ip()) else { continue };
                let routes = routes.clone();
                tokio::spawn(async move {
                    let _ = timeout(CONNECTION_TIMEOUT, connection(stream, routes)).await;
                    drop((peer, place));
                });
            }
            Err(error) => after_failed_accept(&error).await,
        }
    }
}

/// Counts the connections of each address.
#[derive(Clone, Default)]
struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection of an address; ends when dropped.
struct Peer(Peers, IpAddr);

impl Peers {
    fn admit(&self, addr: IpAddr) -> Option<Peer> {
        let addr = addr.to_canonical();
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(addr).or_default();
        (*count < PER_PEER).then(|| {
            *count += 1;
            Peer(self.clone(), addr)
        })
    }
}

impl Drop for Peer {
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

async fn connection(stream: TcpStream, routes: Router) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    // an error is the client's: it has gone, or does not speak HTTP
    let _ = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes)).await;
}
