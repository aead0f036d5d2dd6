//! An HTTP proxy that opens tunnels (RFC 9110, section 9.3.6), for tests of HTTPS_PROXY and NO_PROXY.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::Error;

/// The longest head of a request.
const LONGEST_HEAD: usize = 8 * 1024;

/// A proxy on loopback. It ends, with its tunnels, when it is dropped.
pub struct ConnectProxy {
    addr: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<Infallible>,
}

/// Counts by what was asked for.
#[derive(Default)]
struct Seen {
    tunnels: BTreeMap<String, u64>,
    refused: BTreeMap<String, u64>,
}

/// Where the hosts are, in lower case.
type Hosts = BTreeMap<String, SocketAddr>;

impl ConnectProxy {
    /// Opens tunnels to those hosts, at any port, where the map says they are; refuses everything else.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(hosts: BTreeMap<String, SocketAddr>) -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let hosts = hosts.into_iter().map(|(host, addr)| (host.to_ascii_lowercase(), addr)).collect();
        let seen = Arc::<Mutex<Seen>>::default();
        let task = tokio::spawn(accept(listener, Arc::new(hosts), seen.clone()));
        Ok(Self { addr, seen, task })
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its URL, for `HTTPS_PROXY`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// How many tunnels were opened, by host.
    pub fn tunnels(&self) -> BTreeMap<String, u64> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).tunnels.clone()
    }

    /// How many requests were refused, by what they asked for: a host, or another method and its target.
    pub fn refused(&self) -> BTreeMap<String, u64> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).refused.clone()
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, hosts: Arc<Hosts>, seen: Arc<Mutex<Seen>>) -> Infallible {
    let mut connections = JoinSet::new(); // aborts them all when this task is aborted
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (hosts, seen) = (hosts.clone(), seen.clone());
        connections.spawn(async move {
            let _ = serve(stream, &hosts, &seen).await; // one side went away
        });
    }
}

async fn serve(mut client: TcpStream, hosts: &Hosts, seen: &Mutex<Seen>) -> std::io::Result<()> {
    let asked = asked(&head(&mut client).await?);
    let addr = asked.as_ref().ok().and_then(|host| hosts.get(host));
    let server = match addr {
        Some(addr) => TcpStream::connect(addr).await.map_err(|_| "502 Bad Gateway"),
        None => Err("403 Forbidden"),
    };
    count(seen, asked.unwrap_or_else(|other| other), server.is_ok());
    match server {
        Ok(server) => tunnel(client, server).await,
        Err(status) => {
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            client.write_all(answer.as_bytes()).await
        }
    }
}

/// Until both sides have ended.
async fn tunnel(mut client: TcpStream, mut server: TcpStream) -> std::io::Result<()> {
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// Everything up to the empty line. A client waits for the answer before it sends more.
async fn head(client: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < LONGEST_HEAD {
        head.push(client.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The host that a tunnel is to lead to, in lower case, or what else is asked for.
fn asked(head: &str) -> Result<String, String> {
    let line = head.lines().next().unwrap_or_default();
    let mut words = line.split(' ');
    match (words.next(), words.next().and_then(|target| target.rsplit_once(':'))) {
        (Some("CONNECT"), Some((host, _))) => Ok(host.to_ascii_lowercase()),
        _ => Err(line.trim_end_matches(" HTTP/1.1").to_owned()),
    }
}

fn count(seen: &Mutex<Seen>, asked: String, opened: bool) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let counts = if opened { &mut seen.tunnels } else { &mut seen.refused };
    *counts.entry(asked).or_default() += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_connect_with_a_port_names_a_host() {
        assert_eq!(
            asked("CONNECT Emulator.Vault.Azure.Net:443 HTTP/1.1\r\n\r\n"),
            Ok("emulator.vault.azure.net".into())
        );
        assert_eq!(asked("CONNECT nowhere HTTP/1.1\r\n\r\n"), Err("CONNECT nowhere".into()));
        assert_eq!(
            asked("GET http://169.254.169.254/x HTTP/1.1\r\n"),
            Err("GET http://169.254.169.254/x".into())
        );
    }
}
