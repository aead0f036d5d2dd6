//! The manifests hold what this program takes.

use crate::harness::run;

const POD: &str = include_str!("../../manifests/azure-kms-provider.yaml");
const SERVICE: &str = include_str!("../../manifests/azure-kms-provider.service");
const SOCKET: &str = include_str!("../../manifests/azure-kms-provider.socket");

const V1: &str = include_str!("../../manifests/encryptionconfig.yaml");
const V2: &str = include_str!("../../manifests/encryptionconfig-v2.yaml");

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

/// The default that the help gives for that flag.
fn default_of<'a>(help: &'a str, name: &str) -> Option<&'a str> {
    let mut flags = help.split("\n      --");
    let flag = flags.find(|flag| flag.split([' ', '[']).next() == Some(name))?;
    flag.split_once("[default: ")?.1.split(']').next()
}

#[test]
fn the_flags_that_the_pod_and_the_service_need_not_set_have_their_defaults() {
    let (_, help, _) = run(&["--help"]);
    let others = ["bind-address", "v", "keyvault-name", "key-name", "key-version"];
    let mut known = 0;
    for flag in flags().into_iter().chain(flags_of_the_service()) {
        let (name, value) = flag.trim_start_matches('-').split_once('=').unwrap();
        if !others.contains(&name) {
            assert_eq!(default_of(&help, name), Some(value), "{flag}");
            known += 1;
        }
    }
    assert_eq!(known, 9);
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
    for configuration in [V1, V2] {
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

/// Returns the output of `manifests` with these flags.
fn printed(flags: &[&str]) -> String {
    let (code, stdout, stderr) = run(&[&["manifests"], flags].concat());
    assert_eq!(code, 0, "{stderr}");
    stdout
}

#[test]
fn the_command_prints_what_the_folder_holds() {
    assert_eq!(printed(&["--only=pod"]), POD);
    assert_eq!(printed(&["--only=encryption", "--kms=v1"]), V1);
    assert_eq!(printed(&["--only=encryption", "--kms=v2"]), V2);
    assert_eq!(printed(&[]), format!("{POD}---\n{V2}"));
    let documented = ["--keyvault-name=${KV_NAME}", "--key-name=${KEY_NAME}", "--key-version=${KEY_VERSION}"];
    assert!(documented.iter().all(|flag| POD.contains(flag)));
}

#[test]
fn given_flags_change_their_lines_of_the_printed_pod_and_no_others() {
    let version = format!("--key-version={}", "0a".repeat(16));
    let flags = ["--keyvault-name=vault", "--key-name=key", &version, "--image=registry/kms:v2", "-v", "4"];
    let printed = printed(&[&["--only=pod"], &flags[..]].concat());
    let changed: Vec<_> = printed.lines().filter(|line| !POD.lines().any(|old| old == *line)).collect();
    let code: Vec<_> = changed.iter().map(|line| line.split(" #").next().unwrap().trim()).collect();
    let (head, lines) = code.split_first().unwrap();
    assert_eq!(*head, "# Static pod: goes to /etc/kubernetes/manifests/ of every control plane node.");
    let expected = ["image: registry/kms:v2", "- --keyvault-name=vault", "- --key-name=key"];
    assert_eq!(lines, [&expected[..], &[&format!("- {version}"), "- -v=4"]].concat());
    assert_eq!(printed.lines().count(), POD.lines().count());
}

#[test]
fn what_the_pod_needs_for_its_flags_is_printed_with_them() {
    let flags = [
        "--listen-addr=unix:///run/kms/a.sock",
        "--healthz-port=9000",
        "--bind-address=10.0.0.4",
        "--config-file-path=/etc/a/azure.json",
    ];
    let more = ["--ca-file=/etc/ssl/a.pem", "--ca-file=/etc/a/b c.pem"];
    let printed = printed(&[&flags[..], &more].concat());
    for (line, times) in [
        ("mountPath: /run/kms", 1),
        ("path: /run/kms", 1),
        ("mountPath: /etc/a", 1),
        ("path: /etc/a", 1),
        ("- containerPort: 9000", 1),
        ("port: 9000", 1),
        ("host: 10.0.0.4", 1),
        ("- --ca-file=/etc/ssl/a.pem", 1),
        ("- \"--ca-file=/etc/a/b c.pem\"", 1),
        ("endpoint: unix:///run/kms/a.sock", 1),
        ("mountPath: /opt", 0),
        ("mountPath: /etc/kubernetes", 0),
    ] {
        let code = |printed: &str| printed.split(" #").next().unwrap().trim() == line;
        assert_eq!(printed.lines().filter(|printed| code(printed)).count(), times, "{line} in\n{printed}");
    }
}

#[test]
fn the_folder_of_the_audit_log_is_mounted_for_writing_unless_it_is_the_socket_s() {
    let printed = printed(&["--only=pod", "--audit-log=/var/log/kms plugin/audit.log"]);
    let (mounts, volumes) = printed.split_once("\n  volumes:").unwrap();
    let mount = "        - name: audit-log\n          mountPath: \"/var/log/kms plugin\"";
    assert!(mounts.ends_with(mount), "{printed}");
    let volume = "    - name: audit-log\n      hostPath:\n        path: \"/var/log/kms plugin\"\n        type: DirectoryOrCreate\n";
    assert!(volumes.ends_with(volume), "{printed}");
    assert!(mounts.contains("        - \"--audit-log=/var/log/kms plugin/audit.log\"\n"), "{printed}");
    assert_eq!(printed.lines().count(), POD.lines().count() + 7);
    let beside = self::printed(&["--only=pod", "--audit-log=/opt/audit.log"]);
    assert_eq!(beside.lines().count(), POD.lines().count() + 1, "{beside}");
    for (path, says) in [
        ("audit.log", "--audit-log"),
        ("/audit.log", "folder"),
        ("/etc/kubernetes/audit.log", "reading only"),
    ] {
        let (code, _, stderr) = run(&["manifests", &format!("--audit-log={path}")]);
        assert!(code == 1 && stderr.contains("--audit-log") && stderr.contains(says), "{stderr}");
    }
}

#[test]
fn what_no_pod_can_have_is_refused_all_at_once() {
    let flags = ["--kms=v3", "--only=x", "--image=", "--listen-addr=unix:///a.sock", "--ca-file=/home/a.pem"];
    let (code, stdout, stderr) = run(&[&["manifests", "--key-version=1"], &flags[..]].concat());
    assert_eq!((code, stdout.as_str()), (1, ""));
    for flag in ["--key-version", "--kms", "--only", "--image", "--listen-addr"] {
        assert!(stderr.contains(flag), "{flag} is not in\n{stderr}");
    }
    let (code, _, stderr) = run(&["manifests", "--ca-file=/home/a.pem"]);
    assert!(code == 1 && stderr.contains("/etc/kubernetes or /etc/ssl"), "{stderr}");
    let (code, _, stderr) = run(&["manifests", "--listen-addr=unix:///etc/kubernetes/a.sock"]);
    assert!(code == 1 && stderr.contains("--listen-addr"), "{stderr}");
}
