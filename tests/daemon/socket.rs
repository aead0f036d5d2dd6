//! What stands at the socket's path when the daemon comes.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use crate::harness::{Client, Vault};

#[tokio::test]
async fn the_socket_has_mode_0600_and_is_gone_after_the_end() {
    let vault = Vault::start().await;
    let mut daemon = vault.daemon().listening().await;
    let mode = std::fs::metadata(&daemon.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    daemon.terminate();
    assert_eq!(daemon.exit().await.code(), Some(0));
    assert!(!daemon.socket.exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced() {
    let vault = Vault::start().await;
    let start = vault.daemon();
    drop(UnixListener::bind(&start.socket).unwrap());
    let daemon = start.healthy().await;
    daemon.client().round_trips().await.unwrap();
}

#[tokio::test]
async fn a_live_socket_is_left_to_its_owner() {
    let vault = Vault::start().await;
    let first = vault.daemon().healthy().await;
    let mut second = vault.daemon().spawn();
    assert_eq!(second.exit().await.code(), Some(1));
    assert!(second.log().contains("listens on that socket; stop it first"), "{}", second.log());
    first.client().round_trips().await.unwrap();
}

#[tokio::test]
async fn a_file_at_the_path_is_refused_and_kept() {
    let vault = Vault::start().await;
    let start = vault.daemon();
    std::fs::write(&start.socket, "precious").unwrap();
    let mut daemon = start.spawn();
    assert_eq!(daemon.exit().await.code(), Some(1));
    assert!(daemon.log().contains("not a socket"), "{}", daemon.log());
    assert_eq!(std::fs::read_to_string(&daemon.socket).unwrap(), "precious");
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let vault = Vault::start().await;
    let mut daemon = vault.daemon().arg("--listen-addr=unix:///absent/kms.socket").spawn();
    assert_eq!(daemon.exit().await.code(), Some(1));
    assert!(daemon.log().contains("--listen-addr") && daemon.log().contains("/absent"), "{}", daemon.log());
}

#[tokio::test]
async fn abstract_sockets_work() {
    let vault = Vault::start().await;
    let name = format!("azure-kms-provider-test-{}", std::process::id());
    let _daemon = vault.daemon().arg(format!("--listen-addr=unix:///@{name}")).healthy().await;
    Client::new(format!("\0{name}").into()).round_trips().await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_named_and_how_to_find_who_has_it() {
    let vault = Vault::start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut daemon = vault.daemon().arg(format!("--metrics-addr={address}")).spawn();
    assert_eq!(daemon.exit().await.code(), Some(1));
    let log = daemon.log();
    assert!(
        log.contains("--metrics-addr: cannot listen on") && log.contains("Address already in use"),
        "{log}"
    );
    assert!(log.contains(&format!("ss -lptn 'sport = :{}'", address.port())), "{log}");
    assert!(!daemon.socket.exists());
}
