//! Keys and their versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::ids::random_hex;
use crate::recovery::RecoveryLevel;
use crate::rsa::RsaKey;
use crate::tokens::now;

/// What a new RSA key may do, in the order in which Key Vault lists it.
const ALL_OPERATIONS: [&str; 6] = ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"];

/// Versions by the name of their key, in the order in which they were made.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Keys(BTreeMap<String, Vec<Version>>);

/// Changes to the attributes of a key version. What is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyPatch {
    /// Whether the version may be used.
    pub enabled: Option<bool>,
    /// Not before, in Unix seconds.
    pub nbf: Option<u64>,
    /// Expires, in Unix seconds.
    pub exp: Option<u64>,
    /// What it may be used for (`key_ops`).
    pub operations: Option<Vec<String>>,
    /// What becomes of it when it is deleted.
    pub recovery_level: Option<RecoveryLevel>,
}

/// Everything that can change about a version. `Some(None)` takes a time away.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub enabled: Option<bool>,
    pub nbf: Option<Option<u64>>,
    pub exp: Option<Option<u64>>,
    pub operations: Option<Vec<String>>,
    pub recovery_level: Option<RecoveryLevel>,
    pub tags: Option<BTreeMap<String, String>>,
}

impl From<KeyPatch> for Change {
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

/// One version of a key.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Version {
    pub version: String,
    pub enabled: bool,
    pub nbf: Option<u64>,
    pub exp: Option<u64>,
    pub created: u64,
    pub updated: u64,
    pub bits: u64,
    pub operations: Vec<String>,
    #[serde(default)]
    pub recovery_level: RecoveryLevel,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    pkcs8: String,
    #[serde(skip)]
    rsa: Option<Arc<RsaKey>>,
}

/// A version, and the name of its key as it was made.
pub(crate) struct Found {
    pub name: String,
    pub version: Version,
}

impl Version {
    pub(crate) fn generate(bits: u64, change: Change) -> Result<Self, Error> {
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

    fn load(&mut self) -> Result<(), Error> {
        let pkcs8 = STANDARD.decode(&self.pkcs8).map_err(|_| Error("a kept key is not base64".into()))?;
        self.rsa = Some(Arc::new(RsaKey::from_pkcs8(&pkcs8)?));
        Ok(())
    }

    pub(crate) fn rsa(&self) -> Result<Arc<RsaKey>, Error> {
        self.rsa.clone().ok_or_else(|| Error("the key is not loaded".into()))
    }

    fn apply(&mut self, change: Change) {
        if change == Change::default() {
            return; // nor is it then younger
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
    pub(crate) fn load(&mut self) -> Result<(), Error> {
        self.0.values_mut().flatten().try_for_each(Version::load)
    }

    /// The key of that name in any letter case, as it was named.
    fn name(&self, name: &str) -> Option<String> {
        self.0.keys().find(|known| known.eq_ignore_ascii_case(name)).cloned()
    }

    pub(crate) fn add(&mut self, name: &str, version: Version) -> Found {
        let name = self.name(name).unwrap_or_else(|| name.to_owned());
        self.0.entry(name.clone()).or_default().push(version.clone());
        Found { name, version }
    }

    /// All versions of the key, oldest first; none when there is no such key.
    pub(crate) fn versions(&self, name: &str) -> Vec<Found> {
        let Some(name) = self.name(name) else { return Vec::new() };
        let versions = self.0.get(&name).into_iter().flatten().cloned();
        versions.map(|version| Found { name: name.clone(), version }).collect()
    }

    /// That version, or the newest.
    pub(crate) fn find(&self, name: &str, version: Option<&str>) -> Option<Found> {
        let mut versions = self.versions(name).into_iter();
        match version {
            Some(id) => versions.find(|found| found.version.version.eq_ignore_ascii_case(id)),
            None => versions.next_back(),
        }
    }

    /// The newest version of each key.
    pub(crate) fn newest(&self) -> Vec<Found> {
        self.0.keys().filter_map(|name| self.find(name, None)).collect()
    }

    /// Changes that version, or the newest, and returns it as it is then.
    pub(crate) fn change(&mut self, name: &str, version: Option<&str>, change: Change) -> Option<Found> {
        let Found { name, version: found } = self.find(name, version)?;
        let version = self.0.get_mut(&name)?.iter_mut().find(|known| known.version == found.version)?;
        version.apply(change);
        Some(Found { name, version: version.clone() })
    }
}
