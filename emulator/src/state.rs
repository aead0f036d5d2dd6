//! The state behind all services.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::application::{Application, RegisteredCredentials};
use crate::clock::Clock;
use crate::error::Error;
use crate::faults::ActiveFaults;
use crate::hung_connections::HungConnections;
use crate::ids::random_hex;
use crate::keys::{KeyChange, KeyVersion, Keys, NamedVersion};
use crate::permissions::{PermissionModel, Permissions};
use crate::rsa::RsaKey;
use crate::state_file::{Directory, StateFile, encode};
use crate::stats::Counters;
use crate::tokens::Tokens;

/// The form of a vault's challenge (`WWW-Authenticate` of a 401), which names the audience of its tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Challenge {
    /// `resource="https://vault.azure.net"`, as most vaults send.
    #[default]
    Resource,
    /// `scope="https://vault.azure.net/.default"`.
    Scope,
    /// A resource that is not the vault's, as no real vault sends: clients must reject it.
    Foreign,
}

/// The state that all services share.
pub(crate) struct State {
    /// The tenant.
    pub directory: Directory,
    /// The issuer and validator of access tokens.
    pub tokens: Tokens,
    /// The faults in force.
    pub faults: ActiveFaults,
    /// The statistics.
    pub stats: Counters,
    /// The numbers of TLS connections, and which of them hang.
    pub hung_connections: HungConnections,
    /// The clock of the services' `Date`.
    pub clock: Clock,
    /// The key that signs access tokens, as the file has it.
    signing_key: String,
    /// The path of `state.json`.
    file: PathBuf,
    /// The keys of the vaults. Its lock is held while the file is written, so it is taken before any other.
    keys: Mutex<Keys>,
    /// The application's credentials.
    credentials: Mutex<Arc<RegisteredCredentials>>,
    /// The key of the cluster's issuer, once it was needed.
    issuer_key: Mutex<Option<Arc<RsaKey>>>,
    /// The operations that principals may perform; an absent principal may perform all.
    permissions: Mutex<Permissions>,
    /// The permission model of the vaults.
    permission_model: Mutex<PermissionModel>,
    /// The form of the vaults' challenge.
    challenge: Mutex<Challenge>,
}

impl State {
    /// Reads the folder's state, or creates it.
    ///
    /// # Errors
    /// The file cannot be read or written, is not the state of an emulator, or the cryptographic library fails.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        let file = dir.join("state.json");
        let stored = StateFile::open(&file)?;
        let (credentials, issuer_key) = (stored.credentials()?, stored.issuer_key()?);
        let tokens =
            Tokens::new(stored.signing_key()?, stored.directory.tenant_id.clone(), stored.token_epoch);
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
            credentials: Mutex::new(Arc::new(credentials)),
            issuer_key: Mutex::new(issuer_key.map(Arc::new)),
            permissions: Mutex::default(),
            permission_model: Mutex::default(),
            challenge: Mutex::default(),
        };
        state.save(&state.keys())?;
        Ok(state)
    }

    /// Locks the keys.
    pub(crate) fn keys(&self) -> MutexGuard<'_, Keys> {
        lock(&self.keys)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// It cannot be written.
    fn save(&self, keys: &Keys) -> Result<(), Error> {
        let content = StateFile {
            directory: self.directory.clone(),
            signing_key: self.signing_key.clone(),
            token_epoch: self.tokens.epoch(),
            application: Some(self.credentials().to_changes()),
            issuer_key: lock(&self.issuer_key).as_ref().map(|key| encode(key)),
            keys: keys.clone(),
        };
        content.write(&self.file)
    }

    /// Creates a version of the key, and the key if there is none.
    ///
    /// # Errors
    /// There are no keys of that size, the cryptographic library fails, or the file cannot be written.
    pub(crate) fn create(&self, key: &str, bits: u64, change: KeyChange) -> Result<NamedVersion, Error> {
        let version = KeyVersion::generate(bits, change)?; // slow, so before the lock
        let mut keys = self.keys();
        let created = keys.add(key, version);
        self.save(&keys)?;
        Ok(created)
    }

    /// Creates a version like the newest; `None` when there is no such key.
    ///
    /// # Errors
    /// The cryptographic library fails, or the file cannot be written.
    pub(crate) fn rotate(&self, key: &str) -> Result<Option<NamedVersion>, Error> {
        let Some(NamedVersion { name, version }) = self.keys().find(key, None) else { return Ok(None) };
        let same = KeyChange {
            operations: Some(version.operations),
            recovery_level: Some(version.recovery_level),
            tags: Some(version.tags),
            ..KeyChange::default()
        };
        self.create(&name, version.bits, same).map(Some)
    }

    /// Changes that version, or the newest; `None` when there is no such version.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn change(
        &self,
        key: &str,
        version: Option<&str>,
        change: KeyChange,
    ) -> Result<Option<NamedVersion>, Error> {
        let mut keys = self.keys();
        let Some(changed) = keys.change(key, version, change) else { return Ok(None) };
        self.save(&keys)?;
        Ok(Some(changed))
    }

    /// Revokes every token issued until now, in later runs too.
    ///
    /// # Errors
    /// There are no random bytes, or the file cannot be written; in the latter case they are revoked in this run only.
    pub(crate) fn revoke_tokens(&self) -> Result<(), Error> {
        self.tokens.revoke_all(random_hex(8)?);
        self.save(&self.keys())
    }

    /// Returns the application's credentials as they are now.
    pub(crate) fn credentials(&self) -> Arc<RegisteredCredentials> {
        lock(&self.credentials).clone()
    }

    /// Changes the application's credentials, in later runs too.
    ///
    /// # Errors
    /// A certificate cannot be parsed, and nothing is changed; or the file cannot be written.
    pub(crate) fn set_application(&self, changes: Application) -> Result<(), Error> {
        let keys = self.keys(); // one change at a time
        let changed = self.credentials().with_changes(changes)?;
        *lock(&self.credentials) = Arc::new(changed);
        self.save(&keys)
    }

    /// Returns the key of the cluster's issuer, which is generated when it is first needed.
    ///
    /// # Errors
    /// The cryptographic library fails, or the file cannot be written.
    pub(crate) fn issuer_key(&self) -> Result<Arc<RsaKey>, Error> {
        if let Some(key) = lock(&self.issuer_key).clone() {
            return Ok(key);
        }
        let generated = Arc::new(RsaKey::generate(2048)?); // slow, so before the lock
        let keys = self.keys();
        let key = lock(&self.issuer_key).get_or_insert(generated).clone();
        self.save(&keys)?;
        Ok(key)
    }

    pub(crate) fn set_permissions(&self, permissions: Permissions) {
        *lock(&self.permissions) = permissions;
    }

    /// Reports whether that principal (client id) may perform the operation.
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

/// Locks, also when another thread panicked while it held the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
