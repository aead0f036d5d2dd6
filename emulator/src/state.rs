//! The state behind all services.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::application::{Application, Registered};
use crate::clock::Clock;
use crate::faults::ActiveFaults;
use crate::hung_connections::HungConnections;
use crate::ids::random_hex;
use crate::keys::{Change, Found, Keys, Version};
use crate::permissions::{PermissionModel, Permissions};
use crate::rsa::RsaKey;
use crate::state_file::{Directory, StateFile, encode};
use crate::stats::Counters;
use crate::tokens::Tokens;

/// How a vault tells what its tokens are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Challenge {
    /// `resource="https://vault.azure.net"`, as most vaults do.
    #[default]
    Resource,
    /// `scope="https://vault.azure.net/.default"`.
    Scope,
    /// A resource that is not the vault's, as no real vault asks for: clients must refuse it.
    Foreign,
}

/// The state.
pub(crate) struct State {
    pub directory: Directory,
    pub tokens: Tokens,
    pub faults: ActiveFaults,
    pub stats: Counters,
    pub hung_connections: HungConnections,
    pub clock: Clock,
    signing_key: String,
    file: PathBuf,
    keys: Mutex<Keys>,
    registered: Mutex<Arc<Registered>>,
    issuer_key: Mutex<Option<Arc<RsaKey>>>,
    permissions: Mutex<Permissions>,
    permission_model: Mutex<PermissionModel>,
    challenge: Mutex<Challenge>,
}

impl State {
    /// Reads the folder's state, or makes it.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        let file = dir.join("state.json");
        let stored = StateFile::open(&file)?;
        let (registered, issuer_key) = (stored.registered()?, stored.issuer()?);
        let tokens = Tokens::new(stored.signing()?, stored.directory.tenant_id.clone(), stored.token_epoch);
        let state = Self {
            directory: stored.directory,
            tokens,
            faults: ActiveFaults::default(),
            stats: Counters::default(),
            hung_connections: HungConnections::default(),
            clock: Clock::default(),
            signing_key: stored.signing_key,
            file,
            keys: Mutex::new(stored.keys),
            registered: Mutex::new(Arc::new(registered)),
            issuer_key: Mutex::new(issuer_key.map(Arc::new)),
            permissions: Mutex::default(),
            permission_model: Mutex::default(),
            challenge: Mutex::default(),
        };
        state.save(&state.keys())?;
        Ok(state)
    }

    pub(crate) fn keys(&self) -> MutexGuard<'_, Keys> {
        lock(&self.keys)
    }

    fn save(&self, keys: &Keys) -> Result<(), Error> {
        let stored = StateFile {
            directory: self.directory.clone(),
            signing_key: self.signing_key.clone(),
            token_epoch: self.tokens.epoch(),
            application: Some(self.registered().to_changes()),
            issuer_key: lock(&self.issuer_key).as_ref().map(|key| encode(key)),
            keys: keys.clone(),
        };
        stored.write(&self.file)
    }

    /// Makes a version of the key, and the key if there is none.
    pub(crate) fn create(&self, key: &str, bits: u64, change: Change) -> Result<Found, Error> {
        let version = Version::generate(bits, change)?; // slow, so before the lock
        let mut keys = self.keys();
        let made = keys.add(key, version);
        self.save(&keys)?;
        Ok(made)
    }

    /// Makes a version like the newest; `None` when there is no such key.
    pub(crate) fn rotate(&self, key: &str) -> Result<Option<Found>, Error> {
        let Some(Found { name, version }) = self.keys().find(key, None) else { return Ok(None) };
        let same = Change {
            operations: Some(version.operations),
            recovery_level: Some(version.recovery_level),
            tags: Some(version.tags),
            ..Change::default()
        };
        self.create(&name, version.bits, same).map(Some)
    }

    /// Changes that version, or the newest; `None` when there is no such version.
    pub(crate) fn change(
        &self,
        key: &str,
        version: Option<&str>,
        change: Change,
    ) -> Result<Option<Found>, Error> {
        let mut keys = self.keys();
        let Some(changed) = keys.change(key, version, change) else { return Ok(None) };
        self.save(&keys)?;
        Ok(Some(changed))
    }

    /// Refuses every token issued until now, in later runs too.
    pub(crate) fn revoke_tokens(&self) -> Result<(), Error> {
        self.tokens.revoke_all(random_hex(8)?);
        self.save(&self.keys())
    }

    pub(crate) fn registered(&self) -> Arc<Registered> {
        lock(&self.registered).clone()
    }

    /// Changes what is registered for the application, in later runs too.
    ///
    /// # Errors
    /// A certificate is none; nothing is changed then.
    pub(crate) fn set_application(&self, changes: Application) -> Result<(), Error> {
        let keys = self.keys(); // one change at a time
        let changed = self.registered().changed(changes)?;
        *lock(&self.registered) = Arc::new(changed);
        self.save(&keys)
    }

    /// The key of the cluster's issuer, which is made when it is needed.
    pub(crate) fn issuer_key(&self) -> Result<Arc<RsaKey>, Error> {
        if let Some(key) = lock(&self.issuer_key).clone() {
            return Ok(key);
        }
        let made = Arc::new(RsaKey::generate(2048)?); // slow, so before the lock
        let keys = self.keys();
        let key = lock(&self.issuer_key).get_or_insert(made).clone();
        self.save(&keys)?;
        Ok(key)
    }

    pub(crate) fn set_permissions(&self, permissions: Permissions) {
        *lock(&self.permissions) = permissions;
    }

    pub(crate) fn may(&self, principal: &str, operation: &str) -> bool {
        lock(&self.permissions).get(principal).is_none_or(|allowed| allowed.contains(operation))
    }

    pub(crate) fn set_permission_model(&self, model: PermissionModel) {
        *lock(&self.permission_model) = model;
    }

    pub(crate) fn permission_model(&self) -> PermissionModel {
        *lock(&self.permission_model)
    }

    pub(crate) fn set_challenge(&self, challenge: Challenge) {
        *lock(&self.challenge) = challenge;
    }

    pub(crate) fn challenge(&self) -> Challenge {
        *lock(&self.challenge)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
