//! The state that outlasts a run: `state.json` of the folder.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::application::{Application, RegisteredCredentials};
use crate::error::Error;
use crate::files::{file_error, read_if_exists, write_private};
use crate::ids::{random_guid, random_hex};
use crate::keys::{KeyChange, KeyVersion, Keys};
use crate::rsa::RsaKey;

/// The name of the key that a new folder gets.
pub(crate) const FIRST_KEY: &str = "k8s";

/// The tenant with its service principal and its managed identities. All ids but the resource id are GUIDs.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Directory {
    /// The tenant.
    pub tenant_id: String,
    /// The application, whose service principal clients use.
    pub client_id: String,
    /// The application's first secret.
    pub client_secret: String,
    /// The client id of the machine's system-assigned identity.
    pub system_assigned_client_id: String,
    /// The client id of the user-assigned identity.
    pub user_assigned_client_id: String,
    /// The Azure resource id of the user-assigned identity.
    pub user_assigned_resource_id: String,
}

/// The content of the file.
#[derive(Serialize, Deserialize)]
pub(crate) struct StateFile {
    /// The tenant.
    pub directory: Directory,
    /// The key that signs access tokens: base64 of PKCS#8.
    pub signing_key: String,
    /// The current epoch of access tokens; those of another one are revoked.
    #[serde(default)]
    pub token_epoch: String,
    /// The application's credentials, in place of the directory's secret.
    #[serde(default)]
    pub application: Option<Application>,
    /// The key of the cluster's issuer, once it was needed: base64 of PKCS#8.
    #[serde(default)]
    pub issuer_key: Option<String>,
    /// The keys of the vaults.
    pub keys: Keys,
}

impl StateFile {
    /// Reads the file, or generates its content when there is none.
    ///
    /// # Errors
    /// The file cannot be read or is not the state of an emulator (names the file), or the cryptographic library fails.
    pub(crate) fn open(file: &Path) -> Result<Self, Error> {
        match read_if_exists(file)? {
            Some(bytes) => Self::parse(&bytes).map_err(|error| file_error(file, error)),
            None => Self::create(),
        }
    }

    /// Parses the JSON and the key pairs of the vaults' keys.
    ///
    /// # Errors
    /// It is not the JSON of a state, or a key is unreadable.
    fn parse(bytes: &[u8]) -> Result<Self, Error> {
        // without the error's text, which may quote a key
        let not_ours =
            |error: serde_json::Error| Error(format!("not the state of an emulator: line {}", error.line()));
        let mut content: Self = serde_json::from_slice(bytes).map_err(not_ours)?;
        content.keys.load()?;
        Ok(content)
    }

    /// Generates the content of a new file.
    ///
    /// # Errors
    /// The cryptographic library fails.
    fn create() -> Result<Self, Error> {
        let mut keys = Keys::default();
        keys.add(FIRST_KEY, KeyVersion::generate(2048, KeyChange::default())?);
        Ok(Self {
            directory: Directory::create()?,
            signing_key: encode(&RsaKey::generate(2048)?),
            token_epoch: random_hex(8)?,
            application: None,
            issuer_key: None,
            keys,
        })
    }

    /// Parses the key that signs access tokens.
    ///
    /// # Errors
    /// It is not base64 of PKCS#8 with an RSA key.
    pub(crate) fn signing_key(&self) -> Result<RsaKey, Error> {
        decode(&self.signing_key)
    }

    /// Parses the key of the cluster's issuer, if there is one.
    ///
    /// # Errors
    /// It is not base64 of PKCS#8 with an RSA key.
    pub(crate) fn issuer_key(&self) -> Result<Option<RsaKey>, Error> {
        self.issuer_key.as_deref().map(decode).transpose()
    }

    /// Returns the application's credentials.
    ///
    /// # Errors
    /// A certificate cannot be parsed.
    pub(crate) fn credentials(&self) -> Result<RegisteredCredentials, Error> {
        let first = RegisteredCredentials::with_secret(&self.directory.client_secret);
        first.with_changes(self.application.clone().unwrap_or_default())
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// It cannot be written; names the file.
    pub(crate) fn write(&self, file: &Path) -> Result<(), Error> {
        let json = serde_json::to_vec(self).map_err(|error| Error(error.to_string()))?;
        write_private(file, &json)
    }
}

/// Encodes a key pair for the file: base64 of PKCS#8.
pub(crate) fn encode(key: &RsaKey) -> String {
    STANDARD.encode(key.pkcs8())
}

/// Parses a key pair of the file.
///
/// # Errors
/// It is not base64 of PKCS#8 with an RSA key.
fn decode(key: &str) -> Result<RsaKey, Error> {
    let pkcs8 = STANDARD.decode(key).map_err(|_| Error("a kept key is not base64".into()))?;
    RsaKey::from_pkcs8(&pkcs8)
}

impl Directory {
    /// Generates a tenant with random ids.
    ///
    /// # Errors
    /// The cryptographic library has no random bytes.
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
