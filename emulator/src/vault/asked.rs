//! The vaults that exist. They hold the same keys, and differ in how they are asked.

/// The vault that a request asks: chosen by its host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The host of its URL.
    pub host: &'static str,
    /// What tokens for it are for.
    pub resource: &'static str,
    /// What it makes of RSA keys.
    pub(super) key_type: &'static str,
    /// How the rights to its keys begin.
    pub(super) rights: &'static str,
}

/// The vault.
pub(crate) const KEY_VAULT: Asked = Asked {
    host: "emulator.vault.azure.net",
    resource: "https://vault.azure.net",
    key_type: "RSA",
    rights: "Microsoft.KeyVault/vaults/keys",
};

/// The managed HSM.
pub(crate) const MANAGED_HSM: Asked = Asked {
    host: "emulator.managedhsm.azure.net",
    resource: "https://managedhsm.azure.net",
    key_type: "RSA-HSM",
    rights: "Microsoft.KeyVault/managedHsm/keys",
};

impl Asked {
    /// The vault of that host, which is in lower case.
    pub(super) fn by_host(host: &str) -> Option<&'static Self> {
        [&KEY_VAULT, &MANAGED_HSM].into_iter().find(|vault| vault.host == host)
    }

    pub(super) fn is_hsm(&self) -> bool {
        *self == MANAGED_HSM
    }

    /// The URL of a key.
    pub(super) fn key(&self, name: &str) -> String {
        format!("https://{}/keys/{name}", self.host)
    }

    /// The URL of a key version.
    pub(super) fn kid(&self, name: &str, version: &str) -> String {
        format!("{}/{version}", self.key(name))
    }

    /// The name of the right to an operation.
    pub(super) fn right(&self, operation: &str) -> String {
        let action = match operation {
            "get" | "list" if self.is_hsm() => "read/action".to_owned(),
            "get" | "list" => "read".to_owned(),
            "wrapKey" => "wrap/action".to_owned(),
            "unwrapKey" => "unwrap/action".to_owned(),
            other => format!("{other}/action"),
        };
        format!("{}/{action}", self.rights)
    }
}
