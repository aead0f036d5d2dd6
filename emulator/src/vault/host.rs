//! The vaults that exist: one in each cloud, and a managed HSM where the cloud has them. All hold the same keys, and
//! differ in host, resource and the names of their parts.

use crate::clouds::{self, Cloud, VAULT_NAME};

/// The region of every vault.
pub(super) const REGION: &str = "westeurope";

/// A vault or managed HSM, which requests choose by its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VaultHost {
    /// The cloud that it is in.
    pub(super) cloud: &'static Cloud,
    /// The DNS suffix of its host.
    suffix: &'static str,
}

impl VaultHost {
    /// Finds the vault of that host, in lower case.
    pub(crate) fn find(host: &str) -> Option<Self> {
        let suffix = host.strip_prefix(VAULT_NAME)?.strip_prefix('.')?;
        let of_cloud = |cloud: &&'static Cloud| cloud.suffixes().any(|known| known == suffix);
        let cloud = clouds::ALL.into_iter().find(of_cloud)?;
        cloud.suffixes().find(|known| *known == suffix).map(|suffix| Self { cloud, suffix })
    }

    /// Reports whether it is a managed HSM.
    pub(super) fn is_hsm(self) -> bool {
        self.cloud.managed_hsm_suffix == Some(self.suffix)
    }

    /// Returns its host.
    pub(super) fn host(self) -> String {
        format!("{VAULT_NAME}.{}", self.suffix)
    }

    /// Returns the resource, which is the audience of its tokens.
    pub(super) fn resource(self) -> String {
        clouds::resource_of(self.suffix)
    }

    /// Returns the `kty` of its RSA keys.
    pub(super) fn key_type(self) -> &'static str {
        if self.is_hsm() { "RSA-HSM" } else { "RSA" }
    }

    /// Returns the URL of a key.
    pub(super) fn key_url(self, name: &str) -> String {
        format!("https://{}/keys/{name}", self.host())
    }

    /// Returns the URL of a key version (`kid`).
    pub(super) fn kid(self, name: &str, version: &str) -> String {
        format!("{}/{version}", self.key_url(name))
    }

    /// Returns the RBAC action that permits the operation.
    pub(super) fn rbac_action(self, operation: &str) -> String {
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
        assert!(VaultHost::find("emulator.vault.azure.net").is_some_and(|vault| !vault.is_hsm()));
        assert!(VaultHost::find("emulator.managedhsm.azure.cn").is_some_and(VaultHost::is_hsm));
        for host in [
            "",
            "emulator",
            "emulator.",
            "vault.azure.net",
            "other.vault.azure.net",
            "emulator.vault.azure.de",
        ] {
            assert_eq!(VaultHost::find(host), None, "{host}");
        }
    }
}
