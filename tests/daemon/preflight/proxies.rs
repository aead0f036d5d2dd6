//! With a proxy on the way to Azure.

use akv_emulator::ConnectProxy;
use kms_testkit::free_port;

use super::{Checked, args_without, checked_in, checked_with};
use crate::harness::Vault;

#[tokio::test]
async fn in_proxy_mode_the_proxy_stands_for_both_services() {
    let vault = Vault::start().await;
    let proxy = vault.emulator.info().proxy_url.trim_start_matches("http://").to_owned();
    let (address, port) = proxy.trim_end_matches('/').split_once(':').unwrap();
    let proxied = |port: &str| {
        let flags =
            ["--proxy-mode".to_owned(), format!("--proxy-address={address}"), format!("--proxy-port={port}")];
        [args_without(&vault, "--connect-to"), flags.to_vec()].concat()
    };
    let well = checked_with(proxied(port)).await;
    assert_eq!((well.code, well.result("round-trip-v2")), (0, "passed"), "{:#}", well.report);
    let closed = checked_with(proxied(&free_port().to_string())).await;
    assert_eq!((closed.code, closed.with_result("failed")), (1, vec!["issuer-tcp", "vault-tcp"]));
    for name in ["issuer-tcp", "vault-tcp"] {
        let mend = closed.check(name)["mend"].as_str().unwrap();
        assert!(mend.starts_with("correct --proxy-address or --proxy-port"), "{mend}");
    }
}

/// Without `--connect-to`, with that environment; the real name of the vault has no address here.
async fn through(vault: &Vault, env: &[(&'static str, &str)]) -> Checked {
    let env = env.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    checked_in(args_without(vault, "--connect-to"), env).await
}

#[tokio::test]
async fn names_are_looked_up_by_the_proxy_of_the_environment_but_for_those_in_no_proxy() {
    let vault = Vault::start().await;
    let info = vault.emulator.info().clone();
    let hosts = [(&info.vault_host, info.vault_addr), (&info.authority_host, info.authority_addr)];
    let proxy = ConnectProxy::start(hosts.map(|(host, addr)| (host.clone(), addr)).into()).await.unwrap();
    let well = through(&vault, &[("HTTPS_PROXY", &proxy.url())]).await;
    assert_eq!((well.code, well.result("vault-tls")), (0, "passed"), "{:#}", well.report);
    let looked_up_there = ["issuer-name", "issuer-tcp", "vault-name", "vault-tcp"];
    assert_eq!(well.with_result("skipped"), looked_up_there);

    let exempt = through(&vault, &[("HTTPS_PROXY", &proxy.url()), ("NO_PROXY", &info.vault_host)]).await;
    exempt.only("vault-name", &info.vault_host, "getent hosts");
    assert_eq!(exempt.result("issuer-name"), "skipped");
}

#[tokio::test]
async fn a_proxy_of_the_environment_that_does_not_answer_is_the_one_to_correct() {
    let vault = Vault::start().await;
    let closed = format!("http://127.0.0.1:{}", free_port());
    let dead = through(&vault, &[("HTTPS_PROXY", &closed)]).await;
    assert_eq!((dead.code, dead.with_result("failed")), (1, vec!["issuer-tls", "vault-tls"]));
    for name in ["issuer-tls", "vault-tls"] {
        let mend = dead.check(name)["mend"].as_str().unwrap();
        assert!(mend.starts_with("correct HTTPS_PROXY or ALL_PROXY"), "{mend}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_ignored_is_warned_of_without_its_value() {
    let vault = Vault::start().await;
    let ignored = through(&vault, &[("HTTPS_PROXY", "ftp://user:s3cr3t@proxy")]).await;
    let warned = ignored.check("advice");
    assert!(warned["cause"].as_str().unwrap().starts_with("HTTPS_PROXY: "), "{warned:#}");
    assert!(!ignored.report.to_string().contains("s3cr3t"));
}

#[tokio::test]
async fn an_empty_https_proxy_hides_the_one_in_lower_case() {
    let vault = Vault::start().await;
    let hidden = through(&vault, &[("HTTPS_PROXY", ""), ("https_proxy", "http://127.0.0.1:1")]).await;
    assert_eq!((hidden.code, hidden.with_result("failed")), (1, vec!["issuer-name", "vault-name"]));
}
