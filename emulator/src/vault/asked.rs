//! The vaults that exist: one and perhaps a managed HSM in each cloud. They hold the same keys, and differ in how
//! they are asked.

use crate::clouds::{self, Cloud, VAULT_NAME};

/// The vault that a request asks: chosen by its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Where it is.
    pub(super) cloud: &'static Cloud,
    suffix: &'static str,
}

impl Asked {
    /// The vault of that host, which is in lower case.
    pub(crate) fn by_host(host: &str) -> Option<Self> {
        let suffix = host.strip_prefix(VAULT_NAME)?.strip_prefix('.')?;
        let of_cloud = |cloud: &&'static Cloud| cloud.suffixes().any(|known| known == suffix);
        let cloud = clouds::ALL.into_iter().find(of_cloud)?;
        cloud.suffixes().find(|known| *known == suffix).map(|suffix| Self { cloud, suffix })
    }

    pub(super) fn is_hsm(self) -> bool {
        self.cloud.managed_hsm_suffix == Some(self.suffix)
    }

    /// The host of its URL.
    pub(super) fn host(self) -> String {
        format!("{VAULT_NAME}.{}", self.suffix)
    }

    /// What tokens for it are for.
    pub(super) fn resource(self) -> String {
        clouds::resource_of(self.suffix)
    }

    /// What it makes of RSA keys.
    pub(super) fn key_type(self) -> &'static str {
        if self.is_hsm() { "RSA-HSM" } else { "RSA" }
    }

    /// The URL of a key.
    pub(super) fn key(self, name: &str) -> String {
        format!("https://{}/keys/{name}", self.host())
    }

    /// The URL of a key version.
    pub(super) fn kid(self, name: &str, version: &str) -> String {
        format!("{}/{version}", self.key(name))
    }

    /// The name of the right to an operation.
    pub(super) fn right(self, operation: &str) -> String {
        let kind = if self.is_hsm() { "managedHsm" } else { "vaults" };
        let action = match operation {
            "get" | "list" if self.is_hsm() => "read/action".to_owned(),
            "get" | "list" => "read".to_owned(),
            "wrapKey" => "wrap/action".to_owned(),
            "unwrapKey" => "unwrap/action".to_owned(),
            other => format!("{other}/action"),
        };
        format!("Microsoft.KeyVault/{kind}/keys/{action}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vault_is_found_by_its_whole_host_only() {
        assert!(Asked::by_host("emulator.vault.azure.net").is_some_and(|vault| !vault.is_hsm()));
        assert!(Asked::by_host("emulator.managedhsm.azure.cn").is_some_and(Asked::is_hsm));
        for host in [
            "",
            "emulator",
            "emulator.",
            "vault.azure.net",
            "other.vault.azure.net",
            "emulator.vault.azure.de",
        ] {
            assert_eq!(Asked::by_host(host), None, "{host}");
        }
    }
}
