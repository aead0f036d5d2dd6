//! Warnings at the start: of what is accepted but may not be meant.

use super::access::Access;
use super::environment_warnings;
use super::listen::ListenAddr;
use super::types::Config;
use crate::cli::{DEFAULT_PROXY_PORT, Flags};

/// Lists the warnings, a sentence each.
pub(super) fn of(flags: &Flags, config: &Config, access: &Access) -> Vec<String> {
    let mut warnings = Vec::new();
    if flags.deprecated_config_file_path.is_some() {
        warnings.push("--configFilePath is deprecated and ignored; use --config-file-path".into());
    }
    let has_proxy_flags = !flags.proxy_address.is_empty() || flags.proxy_port != DEFAULT_PROXY_PORT;
    if access.network.proxy.is_none() && has_proxy_flags {
        warnings.push("--proxy-address and --proxy-port have no effect without --proxy-mode".into());
    }
    if matches!(config.listen, ListenAddr::Abstract(_)) {
        warnings.push(
            "--listen-addr: an abstract socket has no permissions: every local user in this network namespace can \
             encrypt and decrypt"
                .into(),
        );
    }
    let cloud = &access.cloud.authority_host;
    let authority = access.credential.authority_host().unwrap_or(cloud).to_owned();
    let authority = authority.split(':').next().unwrap_or_default().to_owned();
    let contacted = [config.key.vault_host(), authority];
    if access.network.proxy.is_some() && !(flags.connect_to.is_empty() && flags.ca_file.is_empty()) {
        warnings.push("--connect-to and --ca-file have no effect in --proxy-mode".into());
    }
    for to in access.network.connect_to.iter().filter(|to| !contacted.contains(&to.host)) {
        warnings.push(format!(
            "--connect-to: {} is never contacted; only {} are",
            to.host,
            contacted.join(" and ")
        ));
    }
    if access.network.proxy.is_none() {
        let vault = config.key.vault_host();
        let mut hosts: Vec<&str> = vec![&vault];
        hosts.extend(access.credential.authority_host());
        hosts.retain(|host| access.network.redirected(host).is_none());
        warnings.extend(environment_warnings::proxies(&*config.access_source.env, &hosts));
    }
    if config.traces.is_some() {
        warnings.extend(environment_warnings::traces(&*config.access_source.env));
    }
    warnings
}
