//! Clouds, proxies and connections.

use akv_emulator::{ConnectProxy, clouds};
use serde_json::json;

use crate::harness::{Daemon, Start, Vault, key_id};

/// The emulator's flags without those of that name.
pub(crate) fn args_without(vault: &Vault, flag: &str) -> Vec<String> {
    let args = std::fs::read_to_string(vault.folder().join("args")).unwrap();
    args.lines().filter(|line| !line.starts_with(flag)).map(str::to_owned).collect()
}

fn in_cloud(vault: &Vault, cloud: &clouds::Cloud) -> Start {
    let info = vault.emulator.info();
    let file = json!({ "cloud": cloud.name, "tenantId": info.tenant_id, "aadClientId": info.client_id,
                       "aadClientSecret": info.client_secret });
    let start =
        vault.daemon_with(args_without(vault, "--connect-to")).arg(vault.azure_json(&file.to_string()));
    cloud
        .hosts()
        .iter()
        .fold(start, |start, host| start.arg(format!("--connect-to={host}={}", info.vault_addr)))
}

async fn serves_at(daemon: &Daemon, vault: &Vault, host: &str) {
    daemon.client().round_trips().await.unwrap();
    let expected = key_id(vault.emulator.info(), host);
    assert_eq!(daemon.client().status().await.unwrap().key_id, expected);
}

#[tokio::test]
async fn every_cloud_is_served_with_its_own_key_id() {
    for cloud in [&clouds::PUBLIC, &clouds::US_GOVERNMENT, &clouds::CHINA] {
        let vault = Vault::start().await;
        serves_at(&in_cloud(&vault, cloud).healthy().await, &vault, &cloud.vault_host()).await;
    }
}

#[tokio::test]
async fn the_managed_hsms_of_the_sovereign_clouds_are_served() {
    for cloud in [&clouds::US_GOVERNMENT, &clouds::CHINA] {
        let vault = Vault::start().await;
        let daemon = in_cloud(&vault, cloud).arg("--managed-hsm").healthy().await;
        serves_at(&daemon, &vault, &cloud.managed_hsm_host().unwrap()).await;
    }
}

#[tokio::test]
async fn an_azure_stack_is_served_from_its_description() {
    let vault = Vault::start().await;
    let (cloud, path) = (&clouds::STACK, vault.dir.path().join("stack.json"));
    let description = json!({
        "name": "AzureStackCloud",
        "activeDirectoryEndpoint": format!("https://{}/", cloud.authority_host()),
        "keyVaultDNSSuffix": cloud.vault_suffix,
        "resourceIdentifiers": { "keyVault": format!("https://{}", cloud.vault_suffix) },
    });
    std::fs::write(&path, description.to_string()).unwrap();
    let start = in_cloud(&vault, cloud).env("AZURE_ENVIRONMENT_FILEPATH", path.display().to_string());
    serves_at(&start.healthy().await, &vault, &cloud.vault_host()).await;
    let mut daemon = in_cloud(&vault, cloud)
        .env("AZURE_ENVIRONMENT_FILEPATH", path.display().to_string())
        .arg("--managed-hsm")
        .spawn();
    assert_eq!(daemon.exit().await.code(), Some(1));
    assert!(daemon.log().contains("--managed-hsm: this cloud has no managed HSMs"), "{}", daemon.log());
}

#[tokio::test]
async fn in_proxy_mode_everything_goes_through_the_proxy_and_the_key_id_stays() {
    let vault = Vault::start().await;
    let proxy = vault.emulator.info().proxy_url.trim_start_matches("http://").to_owned();
    let (address, port) = proxy.trim_end_matches('/').split_once(':').unwrap();
    let start = vault.daemon_with(args_without(&vault, "--connect-to"));
    let daemon = start
        .arg("--proxy-mode=true")
        .arg(format!("--proxy-address={address}"))
        .arg(format!("--proxy-port={port}"))
        .healthy()
        .await;
    serves_at(&daemon, &vault, &vault.emulator.info().vault_host).await;
    let stats = vault.emulator.stats();
    assert!(stats.proxied > 0 && stats.tls_handshakes == 0, "{stats:?}");
}

#[tokio::test]
async fn https_proxy_and_no_proxy_are_respected() {
    let vault = Vault::start().await;
    let info = vault.emulator.info().clone();
    let hosts =
        [(info.vault_host.clone(), info.vault_addr), (info.authority_host.clone(), info.authority_addr)];
    let proxy = ConnectProxy::start(hosts.into()).await.unwrap();
    let daemon = vault.daemon_with(args_without(&vault, "--connect-to")).env("HTTPS_PROXY", proxy.url());
    let daemon = daemon.env("NO_PROXY", "example.com").healthy().await;
    daemon.client().round_trips().await.unwrap();
    let tunnels = proxy.tunnels();
    assert_eq!(tunnels.keys().collect::<Vec<_>>(), [&info.vault_host, &info.authority_host]);
    drop(daemon);

    let proxy =
        ConnectProxy::start([(info.authority_host.clone(), info.authority_addr)].into()).await.unwrap();
    let connect = format!("--connect-to={}={}", info.vault_host, info.vault_addr);
    let daemon = vault.daemon_with(args_without(&vault, "--connect-to")).arg(connect);
    let daemon = daemon.env("HTTPS_PROXY", proxy.url()).env("NO_PROXY", &info.vault_host).healthy().await;
    daemon.client().round_trips().await.unwrap();
    assert!(proxy.refused().is_empty() && proxy.tunnels().len() == 1);
}

#[tokio::test]
async fn a_daemon_without_any_trust_root_does_not_start_and_says_so() {
    let vault = Vault::start().await;
    let daemon = vault.daemon_with(args_without(&vault, "--ca-file"));
    let mut daemon = daemon.env("SSL_CERT_FILE", "/absent").env("SSL_CERT_DIR", "/absent").spawn();
    assert_eq!(daemon.exit().await.code(), Some(1));
    let log = daemon.log();
    assert!(
        log.contains("Cannot run") && log.contains("install CA certificates or set SSL_CERT_FILE"),
        "{log}"
    );
    assert!(!log.contains("Actor started"), "{log}");
}

#[tokio::test]
async fn a_proxy_that_is_ignored_is_named_at_the_start_and_its_value_is_not() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().env("HTTPS_PROXY", "ftp://user:s3cr3t@proxy").healthy().await;
    let log = daemon.log();
    assert!(log.contains("HTTPS_PROXY: is no URL of a proxy") && !log.contains("s3cr3t"), "{log}");
}

#[tokio::test]
async fn connections_are_reused_and_speak_http_2() {
    let vault = Vault::start().await;
    let daemon = vault.daemon().healthy().await;
    daemon.client().round_trips().await.unwrap();
    vault.emulator.reset_stats();
    for _ in 0..50 {
        daemon.client().round_trips().await.unwrap();
    }
    let stats = vault.emulator.stats();
    assert_eq!(stats.tls_handshakes, 0, "{stats:?}");
    assert!(stats.http2_requests >= 200, "{stats:?}");
}
