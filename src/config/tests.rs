//! Flags together: defaults, and every problem at once.

use std::sync::Arc;
use std::time::Duration;

use super::access::Env;
use super::*;
use crate::cli::{self, Command};

const VERSION: &str = "0123456789abcdef0123456789abcdef";

/// Loads a configuration from the required flags and these, without any variable in the environment.
///
/// # Errors
/// [`load`] refuses a flag or a file: all problems.
fn load_args(extra: &[&str]) -> Result<Config, Problems> {
    load_in(Arc::new(|_: &str| None), extra)
}

/// Loads a configuration from the required flags and these, in that environment.
///
/// # Errors
/// [`load`] refuses a flag or a file: all problems.
fn load_in(env: Arc<Env>, extra: &[&str]) -> Result<Config, Problems> {
    let folder = tempfile::tempdir().unwrap();
    let azure_json = folder.path().join("azure.json");
    std::fs::write(&azure_json, r#"{"useManagedIdentityExtension":true}"#).unwrap();
    let file = format!("--config-file-path={}", azure_json.display());
    let version = format!("--key-version={VERSION}");
    let args = [&file, "--keyvault-name=TestKV", "--key-name=k8s", &version]
        .into_iter()
        .chain(extra.iter().copied());
    let Ok(Command::Run(flags)) = cli::parse(args.map(Into::into)) else { panic!("the flags were not read") };
    load(&flags, env).map(|(config, _)| config)
}

#[test]
fn the_defaults_are_those_of_the_go_plugin() {
    let config = load_args(&[]).unwrap();
    assert_eq!(config.listen.to_string(), "unix:///opt/azurekms.socket");
    assert_eq!(config.healthz.addr.to_string(), "[::]:8787");
    assert_eq!((config.healthz.path.as_str(), config.healthz.timeout), ("/healthz", Duration::from_secs(20)));
    assert_eq!(config.metrics_addr.to_string(), "[::]:8095");
    assert_eq!(config.key.vault_host(), "testkv.vault.azure.net");
    assert_eq!(config.health_interval, Duration::from_secs(10));
    let AdmissionConfig { qps, burst, max_in_flight } = config.admission;
    assert_eq!((qps.get(), burst.get(), max_in_flight.get()), (300, 600, 64));
    assert!(config.warnings.is_empty());
}

#[test]
fn actors_may_fail_every_two_seconds_by_default() {
    let config = load_args(&[]).unwrap().supervision;
    assert_eq!((config.limit.get(), config.period), (30, Duration::from_secs(60)));
    assert_eq!(config, SupervisionConfig::default());
    let retry = load_args(&["--actor-restart-limit-action=Retry"]).unwrap().supervision;
    assert_eq!(retry.at_limit, LimitAction::Retry);
}

#[test]
fn the_first_pause_is_no_longer_than_the_longest() {
    let problems = load_args(&["--actor-restart-backoff-max=20ms"]).unwrap_err().to_string();
    assert_eq!(problems, "--actor-restart-backoff: 50ms is longer than --actor-restart-backoff-max (20ms)");
    let equal = ["--actor-restart-backoff=20ms", "--actor-restart-backoff-max=20ms"];
    assert!(load_args(&equal).is_ok());
}

#[test]
fn quoted_values_are_trimmed() {
    let config = load_args(&["--key-name= \"k8s\" "]).unwrap();
    assert_eq!(config.key.name, "k8s");
}

#[test]
fn every_problem_is_reported_at_once_and_names_its_flag() {
    let args = [
        "--keyvault-name=x",
        "--key-name=a/b",
        "--key-version=latest",
        "--listen-addr=tcp://x",
        "--healthz-port=0",
        "--healthz-path=healthz",
        "--healthz-timeout=20",
        "--health-interval=0s",
        "--metrics-addr=http",
        "--metrics-backend=statsd",
        "--key-operations=sign",
        "--client-assertion=HS256",
        "--reload-interval=never",
        "--keyvault-qps=0",
        "--keyvault-burst=-1",
        "--max-in-flight=many",
        "--actor-restart-limit=0",
        "--actor-restart-period=1",
        "--actor-restart-backoff=2s",
        "--actor-restart-limit-action=hope",
        "--connect-to=x",
        "--ca-file=/absent.pem",
        "--audit-log=audit.log",
        "--v=loud",
        "--config-file-path=/absent/azure.json",
    ];
    let problems = load_args(&args).unwrap_err();
    assert_eq!(problems.0.len(), args.len(), "{problems}");
    for flag in args.map(|arg| arg.split('=').next().unwrap()) {
        assert!(problems.0.iter().any(|problem| problem.starts_with(flag)), "{flag}: {problems}");
    }
}

#[test]
fn proxy_mode_needs_an_address_and_a_port() {
    let problems = load_args(&["--proxy-mode", "--proxy-port=0"]).unwrap_err().to_string();
    assert!(problems.contains("--proxy-port"), "{problems}");
    assert!(load_args(&["--proxy-mode"]).unwrap_err().to_string().contains("--proxy-address"));
    let config = load_args(&["--proxy-mode", "--proxy-address=10.0.0.1"]).unwrap();
    assert_eq!(config.access_source.network.proxy.unwrap().as_str(), "http://10.0.0.1:7788/");
}

#[test]
fn the_cloud_of_azure_json_decides_where_the_vault_is() {
    let load = |cloud: &str, extra: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("azure.json");
        let json = format!(r#"{{"cloud":"{cloud}","useManagedIdentityExtension":true}}"#);
        std::fs::write(&path, json).unwrap();
        let file = format!("--config-file-path={}", path.display());
        load_args(&[&[file.as_str()], extra].concat()).map(|config| config.key)
    };
    let key = load("AzureChinaCloud", &[]).unwrap();
    assert_eq!(
        (key.vault_host().as_str(), key.resource.as_str()),
        ("testkv.vault.azure.cn", "https://vault.azure.cn")
    );
    let key = load("azureusgovernment", &["--managed-hsm"]).unwrap();
    assert_eq!(key.vault_host(), "testkv.managedhsm.usgovcloudapi.net");
    assert!(load("AzureMoonCloud", &[]).unwrap_err().to_string().contains("the field cloud"));
}

#[test]
fn required_flags_are_required() {
    let problems = load_args(&["--keyvault-name=", "--key-name=\"\"", "--key-version= "]).unwrap_err();
    assert_eq!(problems.0.iter().filter(|problem| problem.contains("is required")).count(), 3, "{problems}");
}

#[test]
fn two_servers_on_one_port_are_refused() {
    assert!(load_args(&["--metrics-addr=8787"]).unwrap_err().to_string().contains("--metrics-addr"));
}

#[test]
fn a_metrics_address_may_name_its_interface() {
    for (text, addr) in [("9000", "[::]:9000"), (":9000", "[::]:9000"), ("127.0.0.1:9000", "127.0.0.1:9000")]
    {
        assert_eq!(load_args(&["--metrics-addr", text]).unwrap().metrics_addr.to_string(), addr);
    }
}

#[test]
fn a_metrics_address_that_is_refused_is_told_both_forms() {
    let problems = load_args(&["--metrics-addr=localhost:9000"]).unwrap_err().to_string();
    assert!(problems.contains("1 to 65535") && problems.contains("ADDR:PORT"), "{problems}");
}

#[test]
fn whole_numbers_have_every_spelling_of_go() {
    let config =
        load_args(&["--healthz-port=0x2253", "--max-in-flight=0b100", "--keyvault-qps=1_000"]).unwrap();
    let AdmissionConfig { qps, max_in_flight, .. } = config.admission;
    assert_eq!((config.healthz.addr.port(), max_in_flight.get(), qps.get()), (8787, 4, 1000));
    for (text, level) in
        [("4", 4), ("04", 4), ("010", 10), ("0x2", 2), ("0o17", 15), ("0b11", 3), ("1_0", 10)]
    {
        assert_eq!(values::verbosity(text), Ok(level), "{text}");
    }
}

#[test]
fn a_number_that_is_too_large_is_told_the_largest() {
    let problems = load_args(&["--max-in-flight=4294967296"]).unwrap_err().to_string();
    assert!(problems.contains("from 1 to 4294967295"), "{problems}");
}

#[test]
fn one_address_binds_both_ports_unless_the_metrics_name_their_own() {
    let config = load_args(&["--bind-address=127.0.0.1"]).unwrap();
    assert_eq!(config.healthz.addr.to_string(), "127.0.0.1:8787");
    assert_eq!(config.metrics_addr.to_string(), "127.0.0.1:8095");
    let config = load_args(&["--bind-address=::1", "--metrics-addr=10.0.0.4:9000"]).unwrap();
    assert_eq!(config.healthz.addr.to_string(), "[::1]:8787");
    assert_eq!(config.metrics_addr.to_string(), "10.0.0.4:9000");
}

#[test]
fn a_bind_address_is_an_address_and_nothing_more() {
    for bad in ["", "localhost", "127.0.0.1:8787", ":8787", "[::1]", "10.0.0.0/8"] {
        let problems = load_args(&["--bind-address", bad]).unwrap_err().to_string();
        assert!(problems.starts_with("--bind-address: ") && problems.contains("127.0.0.1"), "{problems}");
    }
}

#[test]
fn the_deprecated_flag_and_an_idle_proxy_are_accepted_with_a_warning() {
    let config = load_args(&["--configFilePath=/x", "--proxy-address=10.0.0.1"]).unwrap();
    assert_eq!(config.warnings.len(), 2);
}

#[test]
fn what_has_no_effect_or_protects_nothing_is_warned_of() {
    let warned = |arg: &str, part: &str| {
        let warnings = load_args(&[arg]).unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].contains(part), "{warnings:?}");
    };
    warned("--connect-to=typo.vault.azure.net=127.0.0.1:1", "never contacted");
    warned("--listen-addr=unix:///@name", "abstract socket");
    let used = load_args(&["--connect-to=testkv.vault.azure.net=127.0.0.1:1"]).unwrap();
    assert!(used.warnings.is_empty());
}

#[test]
fn a_socks_proxy_is_warned_of_only_where_a_host_is_reached_through_it() {
    let warnings = |extra: &[&str]| {
        let env = |name: &str| (name == "HTTPS_PROXY").then(|| "socks5://proxy".to_owned());
        load_in(Arc::new(env), extra).unwrap().warnings
    };
    let warned = warnings(&[]);
    // a managed identity's tokens are not Entra ID's to give
    assert!(
        warned.len() == 1 && warned[0].contains("no connection to testkv.vault.azure.net will"),
        "{warned:?}"
    );
    assert_eq!(warnings(&["--connect-to=TESTKV.vault.azure.net=127.0.0.1:1"]), [""; 0]);
    assert_eq!(warnings(&["--proxy-mode", "--proxy-address=10.0.0.1"]), [""; 0]);
}

#[test]
fn debug_of_the_whole_configuration_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("azure.json");
    std::fs::write(&path, r#"{"tenantId":"t","aadClientId":"c","aadClientSecret":"s3cr3t"}"#).unwrap();
    let config = load_args(&[&format!("--config-file-path={}", path.display())]).unwrap();
    assert!(!format!("{config:?}").contains("s3cr3t"));
}
