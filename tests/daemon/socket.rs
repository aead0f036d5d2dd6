//! What stands at the socket's path when the daemon comes.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use crate::harness::{Client, Vault, run};

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
async fn a_socket_that_was_removed_is_named_and_key_vault_is_not_blamed() {
    let vault = Vault::start().await;
    let mut daemon = vault.daemon().arg("--health-interval=200ms").healthy().await;
    std::fs::remove_file(&daemon.socket).unwrap();
    let problem = format!("the socket unix://{}: No such file or directory", daemon.socket.display());
    daemon.logs(&format!("\"Unhealthy\" err=\"grpc-socket: {problem}")).await;
    assert_eq!((daemon.get("/livez").await.0, daemon.get("/healthz/key-vault").await.0), (500, 200));
    let socket = format!("--socket=unix://{}", daemon.socket.display());
    for command in ["healthcheck", "status"] {
        let socket = socket.clone();
        let (code, _, stderr) = tokio::task::spawn_blocking(move || run(&[command, &socket])).await.unwrap();
        assert!(code == 1 && stderr.starts_with(&problem), "{stderr}");
    }
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
