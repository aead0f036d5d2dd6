//! Connections to Azure that take long to come about, as with a TLS inspection or a slow proxy on the way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use akv_emulator::ConnectProxy;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::harness::{Start, Vault};
use crate::network::args_without;

/// A port that passes connections on after a while: TCP connects at once, and TLS waits.
struct SlowPort {
    addr: SocketAddr,
    delay_ms: Arc<AtomicU64>,
    /// Changes when all connections are to end.
    cut: watch::Sender<()>,
}

impl SlowPort {
    async fn start(target: SocketAddr, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let delay_ms = Arc::new(AtomicU64::new(0));
        let cut = watch::Sender::new(());
        let port = Self { addr, delay_ms: delay_ms.clone(), cut: cut.clone() };
        port.set_delay(delay);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (delay, mut cut) = (delay_ms.load(Ordering::SeqCst), cut.subscribe());
                tokio::spawn(async move {
                    sleep(Duration::from_millis(delay)).await;
                    let mut server = TcpStream::connect(target).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        port
    }

    fn set_delay(&self, delay: Duration) {
        self.delay_ms.store(u64::try_from(delay.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

/// A daemon that reaches Key Vault, and Entra ID as well, through that port.
fn daemon_through(vault: &Vault, port: &SlowPort) -> Start {
    let args = std::fs::read_to_string(vault.folder().join("args")).unwrap();
    let target = vault.emulator.info().vault_addr.to_string();
    let through = port.addr.to_string();
    let args = args.lines().map(|arg| {
        if arg.starts_with("--connect-to") { arg.replace(&target, &through) } else { arg.to_owned() }
    });
    vault.daemon_with(args.collect())
}

#[tokio::test]
async fn a_daemon_becomes_healthy_however_long_connecting_takes() {
    for delay in [Duration::from_millis(1500), Duration::from_secs(5)] {
        let vault = Vault::start().await;
        let port = SlowPort::start(vault.emulator.info().vault_addr, delay).await;
        let daemon = daemon_through(&vault, &port).healthy().await;
        daemon.client().round_trips().await.unwrap();
    }
}

#[tokio::test]
async fn a_daemon_becomes_healthy_behind_a_slow_proxy() {
    let vault = Vault::start().await;
    let info = vault.emulator.info();
    let hosts =
        [(info.vault_host.clone(), info.vault_addr), (info.authority_host.clone(), info.authority_addr)];
    let proxy = ConnectProxy::start(hosts.into()).await.unwrap();
    let address = proxy.url().trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
    let port = SlowPort::start(address, Duration::from_secs(4)).await;
    let daemon = vault.daemon_with(args_without(&vault, "--connect-to"));
    let daemon = daemon.env("HTTPS_PROXY", format!("http://{}", port.addr)).healthy().await;
    daemon.client().round_trips().await.unwrap();
    assert_eq!(proxy.tunnels().len(), 2);
}

#[tokio::test]
async fn a_daemon_whose_connections_break_serves_again_although_new_ones_take_longer_than_a_call() {
    let vault = Vault::start().await;
    let port = SlowPort::start(vault.emulator.info().vault_addr, Duration::ZERO).await;
    let daemon = daemon_through(&vault, &port).healthy().await;
    port.set_delay(Duration::from_secs(4));
    port.cut.send_replace(());
    let mut client = daemon.client();
    let mut outcomes = Vec::new();
    while outcomes.len() < 5 && !outcomes.contains(&true) {
        outcomes.push(client.encrypt_v2(b"x").await.is_ok());
    }
    assert!(outcomes.contains(&true), "{outcomes:?}\n{}", daemon.log());
}
