//! The key, its vault, and their names in URLs.

use super::cloud::Service;

/// The key version to use, and its vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyConfig {
    /// The name of the vault, in lower case.
    pub vault_name: String,
    /// The domain of the vault, such as `vault.azure.net`.
    pub dns_suffix: String,
    /// The resource of tokens for it, such as `https://vault.azure.net`.
    pub resource: String,
    /// The name of the key.
    pub name: String,
    /// The version of the key: 32 hexadecimal digits in lower case.
    pub version: String,
    /// The operations of Key Vault that are called.
    pub operations: Operations,
}

/// The choice of `--key-operations`. Both pairs give and take the same bytes; they differ in the permissions they need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operations {
    /// `encrypt` and `decrypt`.
    Encrypt,
    /// `wrapKey` and `unwrapKey`.
    Wrap,
}

impl Operations {
    /// Reads the value of the flag.
    ///
    /// # Errors
    /// It is neither `encrypt` nor `wrap`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "encrypt" => Ok(Self::Encrypt),
            "wrap" => Ok(Self::Wrap),
            _ => Err(format!("{text:?} must be encrypt or wrap")),
        }
    }
}

/// The names of a key version, as in the flags.
pub(super) struct KeyNames {
    pub(super) vault: String,
    pub(super) key: String,
    pub(super) version: String,
}

impl KeyConfig {
    /// Returns a key version in a vault of that service. Vault and version become lower case, which is Key Vault's own
    /// spelling, and the one that the key_id is made from.
    pub(super) fn new(names: KeyNames, service: &Service, operations: Operations) -> Self {
        Self {
            vault_name: names.vault.to_ascii_lowercase(),
            dns_suffix: service.dns_suffix.clone(),
            resource: service.resource.clone(),
            name: names.key,
            version: names.version.to_ascii_lowercase(),
            operations,
        }
    }

    /// Returns `{vault}.{suffix}`.
    pub(crate) fn vault_host(&self) -> String {
        format!("{}.{}", self.vault_name, self.dns_suffix)
    }

    /// Returns `https://{vault}.{suffix}/`.
    pub(crate) fn vault_url(&self) -> String {
        format!("https://{}/", self.vault_host())
    }

    /// Returns `https://{vault}.{suffix}/keys/{name}/{version}`, whose hash is the key_id.
    pub(crate) fn key_url(&self) -> String {
        format!("https://{}/keys/{}/{}", self.vault_host(), self.name, self.version)
    }
}

/// Trims white space and the double quotes around a value, as the Go plugin does: manifests often hold both.
pub(crate) fn trim(value: &str) -> &str {
    value.trim().trim_matches('"').trim()
}

/// Checks the name of a vault, by the limits of Key Vault.
///
/// # Errors
/// It is empty, or not 3 to 24 letters, digits and dashes.
pub(crate) fn check_vault_name(name: &str) -> Result<(), String> {
    let has_known_characters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    match (name, has_known_characters && (3..=24).contains(&name.len())) {
        ("", _) => Err("is required".into()),
        (_, false) => Err(format!("{name:?} must have 3 to 24 of the characters A-Z, a-z, 0-9 and -")),
        _ => Ok(()),
    }
}

/// Checks the name of a key, by the limits of Key Vault.
///
/// # Errors
/// It is empty, or not 1 to 127 letters, digits and dashes.
pub(crate) fn check_key_name(name: &str) -> Result<(), String> {
    let has_known_characters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    match (name, has_known_characters && name.len() <= 127) {
        ("", _) => Err("is required".into()),
        (_, false) => Err(format!("{name:?} must have 1 to 127 of the characters A-Z, a-z, 0-9 and -")),
        _ => Ok(()),
    }
}

/// Checks the version of a key.
///
/// # Errors
/// It is empty, or not 32 hexadecimal digits.
pub(crate) fn check_key_version(version: &str) -> Result<(), String> {
    let is_hexadecimal = version.len() == 32 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
    match (version, is_hexadecimal) {
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
        let version = "0123456789ABCDEF0123456789abcdef".to_owned();
        let names = KeyNames { vault: "TestKV".into(), key: "key1".into(), version };
        let vaults = super::super::Cloud::public().vaults;
        let key = KeyConfig::new(names, &vaults, Operations::Encrypt);
        assert_eq!(
            key.key_url(),
            "https://testkv.vault.azure.net/keys/key1/0123456789abcdef0123456789abcdef"
        );
        assert_eq!(key.vault_url(), "https://testkv.vault.azure.net/");
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
