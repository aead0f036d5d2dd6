//! Azure's clouds: the hosts under which the emulator serves its one tenant, one vault and one managed HSM.

/// A cloud. All of them have the same tenant and the same keys, and differ in hosts and resources.
#[derive(Debug, PartialEq, Eq)]
pub struct Cloud {
    /// Its name in `azure.json`.
    pub name: &'static str,
    /// The hosts of its Entra ID, the default one first.
    pub authority_hosts: &'static [&'static str],
    /// The DNS suffix of its vaults, without a leading dot.
    pub vault_suffix: &'static str,
    /// The DNS suffix of its managed HSMs, if it has any.
    pub managed_hsm_suffix: Option<&'static str>,
}

/// The public cloud.
pub static PUBLIC: Cloud = Cloud {
    name: "AzurePublicCloud",
    authority_hosts: &["login.microsoftonline.com", "login.windows.net"],
    vault_suffix: "vault.azure.net",
    managed_hsm_suffix: Some("managedhsm.azure.net"),
};

/// The cloud of the US government.
pub static US_GOVERNMENT: Cloud = Cloud {
    name: "AzureUSGovernmentCloud",
    authority_hosts: &["login.microsoftonline.us"],
    vault_suffix: "vault.usgovcloudapi.net",
    managed_hsm_suffix: Some("managedhsm.usgovcloudapi.net"),
};

/// The cloud in China.
pub static CHINA: Cloud = Cloud {
    name: "AzureChinaCloud",
    authority_hosts: &["login.chinacloudapi.cn", "login.partner.microsoftonline.cn"],
    vault_suffix: "vault.azure.cn",
    managed_hsm_suffix: Some("managedhsm.azure.cn"),
};

/// An Azure Stack Hub, whose hosts clients read from a file. It has no managed HSM.
pub static STACK: Cloud = Cloud {
    name: "AzureStackCloud",
    authority_hosts: &["login.local.azurestack.external"],
    vault_suffix: "vault.local.azurestack.external",
    managed_hsm_suffix: None,
};

/// Every cloud that is emulated. The German one was closed in 2021.
pub static ALL: [&Cloud; 4] = [&PUBLIC, &US_GOVERNMENT, &CHINA, &STACK];

/// The name of the vault and of the managed HSM: the first label of their hosts.
pub(crate) const VAULT_NAME: &str = "emulator";

impl Cloud {
    /// Returns the default host of its Entra ID.
    pub fn authority_host(&self) -> &'static str {
        self.authority_hosts.first().copied().unwrap_or_default()
    }

    /// Returns the host of its vault.
    pub fn vault_host(&self) -> String {
        in_suffix(self.vault_suffix)
    }

    /// Returns the host of its managed HSM, if it has one.
    pub fn managed_hsm_host(&self) -> Option<String> {
        self.managed_hsm_suffix.map(in_suffix)
    }

    /// Returns all its hosts; the emulator serves them at [`crate::Info::vault_addr`].
    pub fn hosts(&self) -> Vec<String> {
        let authorities = self.authority_hosts.iter().map(|host| (*host).to_owned());
        self.suffixes().map(in_suffix).chain(authorities).collect()
    }

    /// Finds the cloud with that host of Entra ID, in lower case.
    pub(crate) fn of_authority(host: &str) -> Option<&'static Self> {
        ALL.into_iter().find(|cloud| cloud.authority_hosts.contains(&host))
    }

    /// Returns the DNS suffixes of its vaults and of its managed HSMs.
    pub(crate) fn suffixes(&self) -> impl Iterator<Item = &'static str> + use<> {
        [Some(self.vault_suffix), self.managed_hsm_suffix].into_iter().flatten()
    }

    /// Reports whether the resource is that of this cloud's vaults or managed HSMs.
    pub(crate) fn has_resource(&self, resource: &str) -> bool {
        self.suffixes().any(|suffix| resource_of(suffix) == resource)
    }
}

/// Returns the resource (a token's audience) of the vaults with that DNS suffix.
pub(crate) fn resource_of(suffix: &str) -> String {
    format!("https://{suffix}")
}

fn in_suffix(suffix: &str) -> String {
    format!("{VAULT_NAME}.{suffix}")
}
