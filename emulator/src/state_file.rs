//! What lasts: `state.json` of the folder.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::application::{Application, Registered};
use crate::ids::{random_guid, random_hex};
use crate::keys::{Change, Keys, Version};
use crate::rsa::RsaKey;

/// The key that is there from the start.
pub(crate) const FIRST_KEY: &str = "k8s";

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

/// The content of the file.
#[derive(Serialize, Deserialize)]
pub(crate) struct StateFile {
    pub directory: Directory,
    pub signing_key: String,
    /// Tokens of another epoch are revoked.
    #[serde(default)]
    pub token_epoch: String,
    /// What is registered in place of the directory's secret.
    #[serde(default)]
    pub application: Option<Application>,
    /// The key of the cluster's issuer, once it was needed.
    #[serde(default)]
    pub issuer_key: Option<String>,
    pub keys: Keys,
}

impl StateFile {
    /// Reads the file, or makes what is to be in it when there is none.
    pub(crate) fn open(file: &Path) -> Result<Self, Error> {
        match read_if_any(file)? {
            Some(bytes) => Self::read(&bytes).map_err(|error| about(file, error)),
            None => Self::create(),
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, Error> {
        // without the error's text, which may quote a key
        let not_ours =
            |error: serde_json::Error| Error(format!("not the state of an emulator: line {}", error.line()));
        let mut content: Self = serde_json::from_slice(bytes).map_err(not_ours)?;
        content.keys.load()?;
        Ok(content)
    }

    fn create() -> Result<Self, Error> {
        let mut keys = Keys::default();
        keys.add(FIRST_KEY, Version::generate(2048, Change::default())?);
        Ok(Self {
            directory: Directory::create()?,
            signing_key: encode(&RsaKey::generate(2048)?),
            token_epoch: random_hex(8)?,
            application: None,
            issuer_key: None,
            keys,
        })
    }

    /// The key that signs tokens.
    pub(crate) fn signing(&self) -> Result<RsaKey, Error> {
        decode(&self.signing_key)
    }

    pub(crate) fn issuer(&self) -> Result<Option<RsaKey>, Error> {
        self.issuer_key.as_deref().map(decode).transpose()
    }

    pub(crate) fn registered(&self) -> Result<Registered, Error> {
        let first = Registered::with_secret(&self.directory.client_secret);
        first.changed(self.application.clone().unwrap_or_default())
    }

    pub(crate) fn write(&self, file: &Path) -> Result<(), Error> {
        let json = serde_json::to_vec(self).map_err(|error| Error(error.to_string()))?;
        write_private(file, &json)
    }
}

pub(crate) fn encode(key: &RsaKey) -> String {
    STANDARD.encode(key.pkcs8())
}

fn decode(key: &str) -> Result<RsaKey, Error> {
    let pkcs8 = STANDARD.decode(key).map_err(|_| Error("a kept key is not base64".into()))?;
    RsaKey::from_pkcs8(&pkcs8)
}

impl Directory {
    fn create() -> Result<Self, Error> {
        let subscription = random_guid()?;
        Ok(Self {
            tenant_id: random_guid()?,
            client_id: random_guid()?,
            client_secret: format!("emulator~{}", random_hex(16)?),
            system_assigned_client_id: random_guid()?,
            user_assigned_client_id: random_guid()?,
            user_assigned_resource_id: format!(
                "/subscriptions/{subscription}/resourceGroups/emulator/providers/Microsoft.ManagedIdentity/\
                 userAssignedIdentities/kms"
            ),
        })
    }
}

/// The file's content; `None` only when there is no such file.
pub(crate) fn read_if_any(file: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(about(file, error)),
    }
}

/// Writes the file at once and for its owner only: readers see the old content or the new.
pub(crate) fn write_private(file: &Path, content: &[u8]) -> Result<(), Error> {
    let new = file.with_extension("new");
    let written = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new);
    let written = written.and_then(|mut out| out.write_all(content)).and_then(|()| fs::rename(&new, file));
    written.map_err(|error| about(file, error))
}

/// The error, with the file that it is about.
pub(crate) fn about(file: &Path, error: impl std::fmt::Display) -> Error {
    Error(format!("{}: {error}", file.display()))
}
