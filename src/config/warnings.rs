//! What is accepted but deserves a word at the start.

use super::{Config, ListenAddr};
use crate::cli::Flags;

/// One sentence each.
pub(super) fn of(flags: &Flags, config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if flags.deprecated_config_file_path.is_some() {
        warnings.push("--configFilePath is deprecated and ignored; use --config-file-path".into());
    }
    let idle_proxy = !flags.proxy_address.is_empty() || flags.proxy_port != "7788";
    if config.access.network.proxy.is_none() && idle_proxy {
        warnings.push("--proxy-address and --proxy-port have no effect without --proxy-mode".into());
    }
    if matches!(config.listen, ListenAddr::Abstract(_)) {
        warnings.push(
            "--listen-addr: an abstract socket has no permissions: every local user in this network namespace can \
             encrypt and decrypt"
                .into(),
        );
    }
    let cloud = &config.access.cloud.authority_host;
    let authority = config.access.credential.authority_host().unwrap_or(cloud).to_owned();
    let contacted = [config.key.vault_host(), authority];
    for to in config.access.network.connect_to.iter().filter(|to| !contacted.contains(&to.host)) {
        warnings.push(format!(
            "--connect-to: {} is never contacted; only {} are",
            to.host,
            contacted.join(" and ")
        ));
    }
    warnings
}
