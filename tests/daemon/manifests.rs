//! The manifests hold what this program takes.

use crate::harness::run;

const POD: &str = include_str!("../../manifests/azure-kms-provider.yaml");
const SERVICE: &str = include_str!("../../manifests/azure-kms-provider.service");
const SOCKET: &str = include_str!("../../manifests/azure-kms-provider.socket");

/// The flags of the static pod, without their comments.
fn flags() -> Vec<&'static str> {
    let flag = |line: &'static str| line.trim().strip_prefix("- -").map(|_| &line.trim()[2..]);
    POD.lines().filter_map(flag).map(|line| line.split(" #").next().unwrap().trim()).collect()
}

#[test]
fn every_flag_of_the_static_pod_is_known() {
    let flags = flags();
    assert_eq!(flags.len(), 11, "{flags:?}");
    let (code, _, stderr) = run(&[&flags[..], &["--version"]].concat());
    assert_eq!(code, 0, "{stderr}");
}

/// The flags of the systemd service.
fn flags_of_the_service() -> Vec<&'static str> {
    let command = SERVICE.split("ExecStart=").nth(1).unwrap().split("\nExecReload=").next().unwrap();
    command.split_whitespace().filter(|word| word.starts_with('-')).collect()
}

#[test]
fn every_flag_of_the_service_is_known() {
    let flags = flags_of_the_service();
    assert_eq!(flags.len(), 8, "{flags:?}");
    let (code, _, stderr) = run(&[&flags[..], &["--version"]].concat());
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn the_service_the_pod_and_the_socket_unit_name_one_socket_for_its_owner_only() {
    let address = |flags: Vec<&'static str>| {
        flags.into_iter().find_map(|flag| flag.strip_prefix("--listen-addr=unix://")).unwrap()
    };
    let path = address(flags_of_the_service());
    assert_eq!(path, address(flags()));
    assert!(SOCKET.lines().any(|line| line == format!("ListenStream={path}")));
    assert!(SOCKET.lines().any(|line| line == "SocketMode=0600"));
}

#[test]
fn the_pod_and_both_encryption_configurations_name_one_socket() {
    let address = flags().into_iter().find_map(|flag| flag.strip_prefix("--listen-addr=")).unwrap();
    for configuration in [
        include_str!("../../manifests/encryptionconfig.yaml"),
        include_str!("../../manifests/encryptionconfig-v2.yaml"),
    ] {
        assert!(configuration.contains(&format!("endpoint: {address} ")), "{configuration}");
    }
}

#[test]
fn liveness_does_not_depend_on_key_vault() {
    let probe = POD.split("livenessProbe:").nth(1).unwrap();
    assert!(probe.split("resources:").next().unwrap().contains("path: /livez"));
}

#[test]
fn the_kubelet_asks_the_address_that_is_bound() {
    let bound = flags().into_iter().find_map(|flag| flag.strip_prefix("--bind-address=")).unwrap();
    let probe = POD.split("httpGet:").nth(1).unwrap();
    assert!(probe.lines().nth(1).unwrap().trim().starts_with(&format!("host: {bound} ")), "{probe}");
}
