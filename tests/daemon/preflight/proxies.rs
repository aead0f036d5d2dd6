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
        let fix = closed.check(name)["fix"].as_str().unwrap();
        assert!(fix.starts_with("correct --proxy-address or --proxy-port"), "{fix}");
    }
}

/// The name of a vault that has no address anywhere. The emulator's own name has one outside, as Entra ID's has.
const NAMELESS: &str = "no-such-vault-here";

type Set<'a> = &'a [(&'static str, &'a str)];

async fn checked_by(args: Vec<String>, env: Set<'_>) -> Checked {
    checked_in(args, env.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()).await
}

/// Without `--connect-to`: for both hosts, a proxy on loopback has to be in that environment.
async fn through(vault: &Vault, env: Set<'_>) -> Checked {
    checked_by(args_without(vault, "--connect-to"), env).await
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

    let host = format!("{NAMELESS}.vault.azure.net");
    let nameless =
        [args_without(&vault, "--connect-to"), vec![format!("--keyvault-name={NAMELESS}")]].concat();
    let exempt = checked_by(nameless, &[("HTTPS_PROXY", &proxy.url()), ("NO_PROXY", &host)]).await;
    exempt.only("vault-name", NAMELESS, "getent hosts");
    assert_eq!((exempt.result("issuer-name"), exempt.result("token")), ("skipped", "passed"));
}

#[tokio::test]
async fn a_proxy_of_the_environment_that_does_not_answer_is_the_one_to_correct() {
    let vault = Vault::start().await;
    let closed = format!("http://127.0.0.1:{}", free_port());
    let dead = through(&vault, &[("HTTPS_PROXY", &closed)]).await;
    assert_eq!((dead.code, dead.with_result("failed")), (1, vec!["issuer-tls", "vault-tls"]));
    for name in ["issuer-tls", "vault-tls"] {
        let fix = dead.check(name)["fix"].as_str().unwrap();
        assert!(fix.starts_with("correct HTTPS_PROXY or ALL_PROXY"), "{fix}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_ignored_is_warned_of_without_its_value() {
    let vault = Vault::start().await;
    let args = args_without(&vault, ""); // both hosts are redirected: what is ignored leads nowhere
    let ignored = checked_by(args, &[("HTTPS_PROXY", "ftp://user:s3cr3t@proxy")]).await;
    let warned = ignored.check("advice");
    assert!(warned["cause"].as_str().unwrap().starts_with("HTTPS_PROXY: "), "{warned:#}");
    assert!(!ignored.report.to_string().contains("s3cr3t"));
}

#[tokio::test]
async fn an_empty_https_proxy_hides_the_one_in_lower_case() {
    let vault = Vault::start().await;
    let of_the_vault = format!("--connect-to={}=", vault.emulator.info().vault_host);
    let args = [args_without(&vault, &of_the_vault), vec![format!("--keyvault-name={NAMELESS}")]].concat();
    let closed = format!("http://127.0.0.1:{}", free_port());
    let hidden = checked_by(args.clone(), &[("HTTPS_PROXY", ""), ("https_proxy", &closed)]).await;
    hidden.only("vault-name", NAMELESS, "getent hosts");
    let shown = checked_by(args, &[("https_proxy", &closed)]).await;
    shown.only("vault-tls", "", "correct HTTPS_PROXY");
    assert_eq!(shown.result("vault-name"), "skipped");
}
