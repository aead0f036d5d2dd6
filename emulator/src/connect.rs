//! An HTTP proxy that opens tunnels (RFC 9110, section 9.3.6), for tests of HTTPS_PROXY and NO_PROXY.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::error::Error;

/// The longest request head, in bytes.
const MAX_HEAD: usize = 8 * 1024;

/// A proxy on loopback. It ends, with its tunnels, when it is dropped.
pub struct ConnectProxy {
    /// The address that it listens on.
    addr: SocketAddr,
    /// The requests until now.
    counts: Arc<Mutex<TunnelCounts>>,
    /// The task that accepts connections, and owns theirs.
    task: JoinHandle<Infallible>,
}

/// The requests by their target.
#[derive(Default)]
struct TunnelCounts {
    /// Opened tunnels by host.
    tunnels: BTreeMap<String, u64>,
    /// Refused requests by host, or by another method and its target.
    refused: BTreeMap<String, u64>,
}

/// The addresses of the hosts, which are in lower case.
type Hosts = BTreeMap<String, SocketAddr>;

impl ConnectProxy {
    /// Starts a proxy that opens tunnels to those hosts, with any port, at their addresses in the map, and refuses
    /// everything else with a 403.
    ///
    /// # Errors
    /// It cannot listen on 127.0.0.1.
    pub async fn start(hosts: BTreeMap<String, SocketAddr>) -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let hosts = hosts.into_iter().map(|(host, addr)| (host.to_ascii_lowercase(), addr)).collect();
        let counts = Arc::<Mutex<TunnelCounts>>::default();
        let task = tokio::spawn(accept(listener, Arc::new(hosts), counts.clone()));
        Ok(Self { addr, counts, task })
    }

    /// Returns its address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns its URL, for `HTTPS_PROXY`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Returns the number of opened tunnels by host.
    pub fn tunnels(&self) -> BTreeMap<String, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).tunnels.clone()
    }

    /// Returns the number of requests that got a 403 or a 502, by host, or by another method and its target.
    pub fn refused(&self) -> BTreeMap<String, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).refused.clone()
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts connections, and serves each in a task of its own.
async fn accept(listener: TcpListener, hosts: Arc<Hosts>, counts: Arc<Mutex<TunnelCounts>>) -> Infallible {
    let mut connections = JoinSet::new(); // aborts them all when this task is aborted
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (hosts, counts) = (hosts.clone(), counts.clone());
        connections.spawn(async move {
            let _ = serve(stream, &hosts, &counts).await; // one side went away
        });
    }
}

/// Serves the one request of a connection.
///
/// # Errors
/// One side closed its connection.
async fn serve(mut client: TcpStream, hosts: &Hosts, counts: &Mutex<TunnelCounts>) -> std::io::Result<()> {
    let target = tunnel_target(&read_head(&mut client).await?);
    let addr = target.as_ref().ok().and_then(|host| hosts.get(host));
    let server = match addr {
        Some(addr) => TcpStream::connect(addr).await.map_err(|_| "502 Bad Gateway"),
        None => Err("403 Forbidden"),
    };
    count(counts, target.unwrap_or_else(|other| other), server.is_ok());
    match server {
        Ok(server) => tunnel(client, server).await,
        Err(status) => {
            let response = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            client.write_all(response.as_bytes()).await
        }
    }
}

/// Copies both ways until both sides have ended.
///
/// # Errors
/// One side broke its connection off.
async fn tunnel(mut client: TcpStream, mut server: TcpStream) -> std::io::Result<()> {
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// Reads up to the empty line. A client waits for the response before it sends more.
///
/// # Errors
/// The client closed its connection before that.
async fn read_head(client: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_HEAD {
        head.push(client.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Parses the host of a CONNECT, in lower case.
///
/// # Errors
/// It is another request; gives its method and target.
fn tunnel_target(head: &str) -> Result<String, String> {
    let line = head.lines().next().unwrap_or_default();
    let mut words = line.split(' ');
    match (words.next(), words.next().and_then(|target| target.rsplit_once(':'))) {
        (Some("CONNECT"), Some((host, _))) => Ok(host.to_ascii_lowercase()),
        _ => Err(line.trim_end_matches(" HTTP/1.1").to_owned()),
    }
}

/// Counts a request.
fn count(counts: &Mutex<TunnelCounts>, target: String, opened: bool) {
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    let counts = if opened { &mut counts.tunnels } else { &mut counts.refused };
    *counts.entry(target).or_default() += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_connect_with_a_port_names_a_host() {
        assert_eq!(
            tunnel_target("CONNECT Emulator.Vault.Azure.Net:443 HTTP/1.1\r\n\r\n"),
            Ok("emulator.vault.azure.net".into())
        );
        assert_eq!(tunnel_target("CONNECT nowhere HTTP/1.1\r\n\r\n"), Err("CONNECT nowhere".into()));
        assert_eq!(
            tunnel_target("GET http://169.254.169.254/x HTTP/1.1\r\n"),
            Err("GET http://169.254.169.254/x".into())
        );
    }
}
