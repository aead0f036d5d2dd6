//! The state behind all services: keys, principals, permissions. Kept in `state.json` of the folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::faults::FaultSwitch;
use crate::rsa::RsaKey;
use crate::stats::Counters;
use crate::tokens::{Tokens, now};

/// The vault that exists.
pub(crate) const VAULT_HOST: &str = "emulator.vault.azure.net";
/// The key that is there from the start.
pub(crate) const FIRST_KEY: &str = "k8s";
/// What a new RSA key may do, in the order in which Key Vault lists it.
pub(crate) const ALL_OPERATIONS: [&str; 6] = ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"];

/// What each principal (client id) may do: `get`, `list`, `create`, `update`, `rotate`, `encrypt`, `decrypt`,
/// `wrapKey`, `unwrapKey`.
pub type Permissions = BTreeMap<String, BTreeSet<String>>;

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
}

/// Who exists in the tenant.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Directory {
    pub tenant_id: String,
    pub client_id: String,
    pub client_secret: String,
    pub system_assigned_client_id: String,
    pub user_assigned_client_id: String,
    pub user_assigned_resource_id: String,
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
    pub tags: BTreeMap<String, String>,
    pkcs8: String,
    #[serde(skip)]
    rsa: Option<Arc<RsaKey>>,
}

impl Version {
    fn generate(bits: u64, operations: Vec<String>) -> Result<Self, Error> {
        let rsa = RsaKey::generate(bits)?;
        let (created, pkcs8) = (now(), STANDARD.encode(rsa.pkcs8()));
        Ok(Self {
            version: random_hex(16)?,
            enabled: true,
            nbf: None,
            exp: None,
            created,
            updated: created,
            bits,
            operations,
            tags: BTreeMap::new(),
            pkcs8,
            rsa: Some(Arc::new(rsa)),
        })
    }

    fn load(&mut self) -> Result<(), Error> {
        let pkcs8 =
            STANDARD.decode(&self.pkcs8).map_err(|_| Error("state.json holds a broken key".into()))?;
        self.rsa = Some(Arc::new(RsaKey::from_pkcs8(&pkcs8)?));
        Ok(())
    }

    pub(crate) fn rsa(&self) -> Result<Arc<RsaKey>, Error> {
        self.rsa.clone().ok_or_else(|| Error("the key is not loaded".into()))
    }

    fn apply(&mut self, patch: &KeyPatch) {
        self.enabled = patch.enabled.unwrap_or(self.enabled);
        self.nbf = patch.nbf.or(self.nbf);
        self.exp = patch.exp.or(self.exp);
        self.updated = now();
    }
}

#[derive(Serialize, Deserialize)]
struct Kept {
    directory: Directory,
    signing_key: String,
    keys: BTreeMap<String, Vec<Version>>,
}

/// The state.
pub(crate) struct World {
    pub directory: Directory,
    pub tokens: Tokens,
    pub faults: FaultSwitch,
    pub stats: Counters,
    signing_key: String,
    file: PathBuf,
    keys: Mutex<BTreeMap<String, Vec<Version>>>,
    permissions: Mutex<Permissions>,
}

impl World {
    /// Reads the folder's state, or makes it.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        let file = dir.join("state.json");
        let kept = match fs::read(&file) {
            Ok(bytes) => Kept::read(&bytes, &file)?,
            Err(_) => Kept::create()?,
        };
        let signing =
            STANDARD.decode(&kept.signing_key).map_err(|_| Error("state.json: broken key".into()))?;
        let tokens = Tokens::new(RsaKey::from_pkcs8(&signing)?, kept.directory.tenant_id.clone());
        let world = Self {
            directory: kept.directory,
            tokens,
            faults: FaultSwitch::default(),
            stats: Counters::default(),
            signing_key: kept.signing_key,
            file,
            keys: Mutex::new(kept.keys),
            permissions: Mutex::default(),
        };
        world.save(&world.keys())?;
        Ok(world)
    }

    fn keys(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Version>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self, keys: &BTreeMap<String, Vec<Version>>) -> Result<(), Error> {
        let (directory, signing_key) = (self.directory.clone(), self.signing_key.clone());
        let kept = Kept { directory, signing_key, keys: keys.clone() };
        let json = serde_json::to_vec(&kept).map_err(|error| Error(error.to_string()))?;
        write_private(&self.file, &json)
    }

    /// That version, or the newest; `None` when there is none.
    pub(crate) fn find(&self, key: &str, version: Option<&str>) -> Option<Version> {
        let keys = self.keys();
        let versions = keys.get(key)?;
        match version {
            Some(version) => {
                versions.iter().find(|known| known.version.eq_ignore_ascii_case(version)).cloned()
            }
            None => versions.last().cloned(),
        }
    }

    /// All versions, in the order of their ids: as with the real service, not of their making.
    pub(crate) fn versions(&self, key: &str) -> Option<Vec<Version>> {
        let mut versions = self.keys().get(key)?.clone();
        versions.sort_by(|a, b| a.version.cmp(&b.version));
        Some(versions)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.keys().keys().cloned().collect()
    }

    pub(crate) fn create(
        &self,
        key: &str,
        bits: u64,
        operations: Vec<String>,
        patch: &KeyPatch,
        tags: BTreeMap<String, String>,
    ) -> Result<Version, Error> {
        let mut version = Version::generate(bits, operations)?;
        version.apply(patch);
        version.tags = tags;
        let mut keys = self.keys();
        keys.entry(key.to_owned()).or_default().push(version.clone());
        self.save(&keys)?;
        Ok(version)
    }

    pub(crate) fn rotate(&self, key: &str) -> Result<String, Error> {
        let newest = self.find(key, None).ok_or_else(|| Error(format!("there is no key {key:?}")))?;
        let made = self.create(key, newest.bits, newest.operations, &KeyPatch::default(), newest.tags)?;
        Ok(made.version)
    }

    pub(crate) fn update(&self, key: &str, version: &str, patch: &KeyPatch) -> Result<(), Error> {
        self.change(key, version, |version| version.apply(patch))
    }

    pub(crate) fn change(
        &self,
        key: &str,
        version: &str,
        change: impl FnOnce(&mut Version),
    ) -> Result<(), Error> {
        let mut keys = self.keys();
        let versions = keys.get_mut(key).into_iter().flatten();
        let found = versions.into_iter().find(|known| known.version.eq_ignore_ascii_case(version));
        change(found.ok_or_else(|| Error(format!("there is no version {version:?} of a key {key:?}")))?);
        self.save(&keys)
    }

    pub(crate) fn set_permissions(&self, permissions: Permissions) {
        *self.permissions.lock().unwrap_or_else(PoisonError::into_inner) = permissions;
    }

    pub(crate) fn may(&self, principal: &str, operation: &str) -> bool {
        let permissions = self.permissions.lock().unwrap_or_else(PoisonError::into_inner);
        permissions.get(principal).is_none_or(|allowed| allowed.contains(operation))
    }
}

impl Kept {
    fn create() -> Result<Self, Error> {
        let signing = RsaKey::generate(2048)?;
        let operations = ALL_OPERATIONS.map(str::to_owned).to_vec();
        let first = Version::generate(2048, operations)?;
        let identity = random_guid()?;
        let resource = format!(
            "/subscriptions/{}/resourceGroups/emulator/providers/Microsoft.ManagedIdentity/userAssignedIdentities/kms",
            random_guid()?
        );
        Ok(Self {
            directory: Directory {
                tenant_id: random_guid()?,
                client_id: random_guid()?,
                client_secret: format!("emulator~{}", random_hex(16)?),
                system_assigned_client_id: random_guid()?,
                user_assigned_client_id: identity,
                user_assigned_resource_id: resource,
            },
            signing_key: STANDARD.encode(signing.pkcs8()),
            keys: BTreeMap::from([(FIRST_KEY.to_owned(), vec![first])]),
        })
    }

    fn read(bytes: &[u8], file: &Path) -> Result<Self, Error> {
        let mut kept: Self = serde_json::from_slice(bytes).map_err(|error| {
            Error(format!("{}: not the state of an emulator: line {}", file.display(), error.line()))
        })?;
        kept.keys.values_mut().flatten().try_for_each(Version::load)?;
        Ok(kept)
    }
}

/// Writes the file at once and for its owner only: readers see the old content or the new.
pub(crate) fn write_private(file: &Path, content: &[u8]) -> Result<(), Error> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let new = file.with_extension("new");
    let mut out = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    out.write_all(content)?;
    fs::rename(&new, file)?;
    Ok(())
}

pub(crate) fn random_hex(bytes: usize) -> Result<String, Error> {
    let mut random = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Error("no random bytes".into()))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(crate) fn random_guid() -> Result<String, Error> {
    let hex = random_hex(16)?;
    Ok(format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..]))
}
