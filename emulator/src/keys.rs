//! Keys and their versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::ids::random_hex;
use crate::recovery::RecoveryLevel;
use crate::rsa::RsaKey;
use crate::tokens::now;

/// The `key_ops` of a new RSA key, in Key Vault's order.
const ALL_OPERATIONS: [&str; 6] = ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"];

/// All versions by the name of their key, oldest first.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Keys(BTreeMap<String, Vec<KeyVersion>>);

/// Changes to the attributes of a key version. An absent field changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyPatch {
    /// Enables or disables the version.
    pub enabled: Option<bool>,
    /// Not before, in Unix seconds.
    pub nbf: Option<u64>,
    /// Expires, in Unix seconds.
    pub exp: Option<u64>,
    /// The permitted operations (`key_ops`).
    pub operations: Option<Vec<String>>,
    /// The recovery level, which no client can set.
    pub recovery_level: Option<RecoveryLevel>,
}

/// Changes to a key version, beyond [`KeyPatch`]. `None` changes nothing, and `Some(None)` removes a time.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyChange {
    /// Enables or disables the version.
    pub enabled: Option<bool>,
    /// Not before, in Unix seconds.
    pub nbf: Option<Option<u64>>,
    /// Expires, in Unix seconds.
    pub exp: Option<Option<u64>>,
    /// The permitted operations (`key_ops`).
    pub operations: Option<Vec<String>>,
    /// The recovery level.
    pub recovery_level: Option<RecoveryLevel>,
    /// All tags.
    pub tags: Option<BTreeMap<String, String>>,
}

impl From<KeyPatch> for KeyChange {
    fn from(KeyPatch { enabled, nbf, exp, operations, recovery_level }: KeyPatch) -> Self {
        Self {
            enabled,
            nbf: nbf.map(Some),
            exp: exp.map(Some),
            operations,
            recovery_level,
            ..Self::default()
        }
    }
}

/// A version of a key. Its attributes are those of `KeyAttributes` in Key Vault's API reference.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct KeyVersion {
    /// Its identifier: 32 hex digits.
    pub version: String,
    /// Permits its use; a disabled version refuses every operation.
    pub enabled: bool,
    /// Not before, in Unix seconds: until then it neither encrypts nor wraps.
    pub nbf: Option<u64>,
    /// Expires, in Unix seconds: from then on it neither encrypts nor wraps.
    pub exp: Option<u64>,
    /// The time of its creation, in Unix seconds.
    pub created: u64,
    /// The time of its latest change, in Unix seconds.
    pub updated: u64,
    /// The size of its modulus in bits: 2048, 3072 or 4096.
    pub bits: u64,
    /// The permitted operations (`key_ops`).
    pub operations: Vec<String>,
    /// The recovery level.
    #[serde(default)]
    pub recovery_level: RecoveryLevel,
    /// The tags that clients set.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// The key pair as base64 of PKCS#8.
    pkcs8: String,
    /// The same key pair, parsed; absent until [`Keys::load`].
    #[serde(skip)]
    rsa: Option<Arc<RsaKey>>,
}

/// A version with the name of its key, in the letter case in which the key was created.
pub(crate) struct NamedVersion {
    /// The name of the key.
    pub name: String,
    /// A copy of the version.
    pub version: KeyVersion,
}

impl KeyVersion {
    /// Generates a version, and applies the change to its defaults.
    ///
    /// # Errors
    /// There are no keys of that size, or the cryptographic library fails.
    pub(crate) fn generate(bits: u64, change: KeyChange) -> Result<Self, Error> {
        let rsa = RsaKey::generate(bits)?;
        let created = now();
        let mut version = Self {
            version: random_hex(16)?,
            enabled: true,
            nbf: None,
            exp: None,
            created,
            updated: created,
            bits,
            operations: ALL_OPERATIONS.map(str::to_owned).to_vec(),
            recovery_level: RecoveryLevel::default(),
            tags: BTreeMap::new(),
            pkcs8: STANDARD.encode(rsa.pkcs8()),
            rsa: Some(Arc::new(rsa)),
        };
        version.apply(change);
        Ok(version)
    }

    /// Parses the stored key pair.
    ///
    /// # Errors
    /// It is not base64 of PKCS#8 with an RSA key.
    fn load(&mut self) -> Result<(), Error> {
        let pkcs8 = STANDARD.decode(&self.pkcs8).map_err(|_| Error("a kept key is not base64".into()))?;
        self.rsa = Some(Arc::new(RsaKey::from_pkcs8(&pkcs8)?));
        Ok(())
    }

    /// Returns the key pair.
    ///
    /// # Errors
    /// It is not parsed yet.
    pub(crate) fn rsa(&self) -> Result<Arc<RsaKey>, Error> {
        self.rsa.clone().ok_or_else(|| Error("the key is not loaded".into()))
    }

    fn apply(&mut self, change: KeyChange) {
        if change == KeyChange::default() {
            return; // `updated` stays too
        }
        self.enabled = change.enabled.unwrap_or(self.enabled);
        self.nbf = change.nbf.unwrap_or(self.nbf);
        self.exp = change.exp.unwrap_or(self.exp);
        if let Some(operations) = change.operations {
            self.operations = operations;
        }
        self.recovery_level = change.recovery_level.unwrap_or(self.recovery_level);
        if let Some(tags) = change.tags {
            self.tags = tags;
        }
        self.updated = now();
    }
}

impl Keys {
    /// Parses the key pairs of all versions.
    ///
    /// # Errors
    /// One is not base64 of PKCS#8 with an RSA key.
    pub(crate) fn load(&mut self) -> Result<(), Error> {
        self.0.values_mut().flatten().try_for_each(KeyVersion::load)
    }

    /// Finds the key of that name in any letter case, and returns its name as it was created.
    fn name(&self, name: &str) -> Option<String> {
        self.0.keys().find(|known| known.eq_ignore_ascii_case(name)).cloned()
    }

    /// Adds a version to the key, or a key with that version.
    pub(crate) fn add(&mut self, name: &str, version: KeyVersion) -> NamedVersion {
        let name = self.name(name).unwrap_or_else(|| name.to_owned());
        self.0.entry(name.clone()).or_default().push(version.clone());
        NamedVersion { name, version }
    }

    /// Returns all versions of the key, oldest first; none when there is no such key.
    pub(crate) fn versions(&self, name: &str) -> Vec<NamedVersion> {
        let Some(name) = self.name(name) else { return Vec::new() };
        let versions = self.0.get(&name).into_iter().flatten().cloned();
        versions.map(|version| NamedVersion { name: name.clone(), version }).collect()
    }

    /// Finds that version, or the newest.
    pub(crate) fn find(&self, name: &str, version: Option<&str>) -> Option<NamedVersion> {
        let mut versions = self.versions(name).into_iter();
        match version {
            Some(id) => versions.find(|found| found.version.version.eq_ignore_ascii_case(id)),
            None => versions.next_back(),
        }
    }

    /// Returns the newest version of each key.
    pub(crate) fn newest(&self) -> Vec<NamedVersion> {
        self.0.keys().filter_map(|name| self.find(name, None)).collect()
    }

    /// Changes that version, or the newest, and returns it with the changes.
    pub(crate) fn change(
        &mut self,
        name: &str,
        version: Option<&str>,
        change: KeyChange,
    ) -> Option<NamedVersion> {
        let NamedVersion { name, version: found } = self.find(name, version)?;
        let version = self.0.get_mut(&name)?.iter_mut().find(|known| known.version == found.version)?;
        version.apply(change);
        Some(NamedVersion { name, version: version.clone() })
    }
}
