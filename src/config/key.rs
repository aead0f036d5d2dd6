//! Which key, in which vault, with which names in URLs.

/// The key version to use, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyConfig {
    /// Name of the vault, in lower case.
    pub vault_name: String,
    /// `vault.azure.net`, or that of managed HSMs.
    pub dns_suffix: String,
    /// What tokens are for: `https://` and the suffix.
    pub resource: String,
    /// Name of the key.
    pub name: String,
    /// Version of the key.
    pub version: String,
}

impl KeyConfig {
    /// A key version of the public cloud. Key Vault's own spelling of vault and version is in lower case, and the
    /// key_id is made of that spelling.
    pub(super) fn new(vault_name: &str, name: String, version: &str, managed_hsm: bool) -> Self {
        let dns_suffix = if managed_hsm { "managedhsm.azure.net" } else { "vault.azure.net" };
        Self {
            vault_name: vault_name.to_ascii_lowercase(),
            dns_suffix: dns_suffix.into(),
            resource: format!("https://{dns_suffix}"),
            name,
            version: version.to_ascii_lowercase(),
        }
    }

    /// `{vault}.{suffix}`
    pub(crate) fn vault_host(&self) -> String {
        format!("{}.{}", self.vault_name, self.dns_suffix)
    }

    /// `https://{vault}.{suffix}/`
    pub(crate) fn vault_url(&self) -> String {
        format!("https://{}/", self.vault_host())
    }

    /// `https://{vault}.{suffix}/keys/{name}/{version}`, whose hash is the key_id.
    pub(crate) fn key_url(&self) -> String {
        format!("https://{}/keys/{}/{}", self.vault_host(), self.name, self.version)
    }
}

/// White space and the double quotes around a value go, as in the Go plugin: manifests often hold both.
pub(super) fn trim(value: &str) -> &str {
    value.trim().trim_matches('"').trim()
}

pub(super) fn check_vault_name(name: &str) -> Result<(), String> {
    let characters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    match (name, characters && (3..=24).contains(&name.len())) {
        ("", _) => Err("is required".into()),
        (_, false) => Err(format!("{name:?} must have 3 to 24 of the characters A-Z, a-z, 0-9 and -")),
        _ => Ok(()),
    }
}

pub(super) fn check_key_name(name: &str) -> Result<(), String> {
    let characters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    match (name, characters && name.len() <= 127) {
        ("", _) => Err("is required".into()),
        (_, false) => Err(format!("{name:?} must have 1 to 127 of the characters A-Z, a-z, 0-9 and -")),
        _ => Ok(()),
    }
}

pub(super) fn check_key_version(version: &str) -> Result<(), String> {
    let hexadecimal = version.len() == 32 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
    match (version, hexadecimal) {
        ("", _) => Err("is required".into()),
        (_, false) => {
            Err(format!("{version:?} must be 32 hexadecimal digits, the last part of the key identifier"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_case_vault_names_and_versions_are_lowered_in_every_url() {
        let key = KeyConfig::new("TestKV", "key1".into(), "0123456789ABCDEF0123456789abcdef", false);
        assert_eq!(
            key.key_url(),
            "https://testkv.vault.azure.net/keys/key1/0123456789abcdef0123456789abcdef"
        );
        assert_eq!(key.vault_url(), "https://testkv.vault.azure.net/");
    }

    #[test]
    fn a_managed_hsm_has_another_suffix_and_resource() {
        let key = KeyConfig::new("hsm", "k".into(), "v", true);
        assert_eq!(
            (key.vault_host().as_str(), key.resource.as_str()),
            ("hsm.managedhsm.azure.net", "https://managedhsm.azure.net")
        );
    }

    #[test]
    fn white_space_and_quotes_are_trimmed() {
        for value in ["k8s", " k8s\n", "\"k8s\"", " \"k8s\" ", "\" k8s \""] {
            assert_eq!(trim(value), "k8s");
        }
    }

    #[test]
    fn names_have_the_limits_of_key_vault() {
        assert!(check_vault_name("a-B").is_ok() && check_vault_name(&"a".repeat(24)).is_ok());
        for bad in ["", "ab", "a_b", "a.b", &"a".repeat(25), "kéy"] {
            assert!(check_vault_name(bad).is_err(), "{bad}");
        }
        assert!(
            check_key_name("k").is_ok()
                && check_key_name(&"k".repeat(128)).is_err()
                && check_key_name("a/b").is_err()
        );
        assert!(check_key_version(&"0aF".repeat(11)[..32]).is_ok() && check_key_version("latest").is_err());
    }
}
