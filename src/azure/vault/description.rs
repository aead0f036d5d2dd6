//! Describes a key version, for `preflight`.

use azure_security_keyvault_keys::models::{Key, KeyClientGetKeyOptions};

use super::{AzureVault, classify, model};
use crate::kms::KeyVersion;
use crate::vault::{KeyDescription, VaultError};

impl AzureVault {
    /// What the vault tells of that key version.
    ///
    /// # Errors
    /// As any other call; a 403 only says that the key may not be read.
    pub(crate) async fn describe(&self, key: &KeyVersion) -> Result<KeyDescription, VaultError> {
        let options = KeyClientGetKeyOptions { key_version: Some(key.version.clone()), ..Default::default() };
        let response = self.client.get_key(&key.name, Some(options)).await.map_err(classify)?;
        Ok(described(model(response)?))
    }
}

fn described(bundle: Key) -> KeyDescription {
    let (key, attributes) = (bundle.key.unwrap_or_default(), bundle.attributes.unwrap_or_default());
    KeyDescription {
        kind: key.kty.map(|kind| kind.to_string()).unwrap_or_default(),
        modulus: key.n.map(|n| n.len()),
        operations: key.key_ops.unwrap_or_default(),
        enabled: attributes.enabled.unwrap_or(true), // absent where it was never set
        not_before: attributes.not_before.map(Into::into),
        expires: attributes.expires.map(Into::into),
        recovery_level: attributes.recovery_level.map(|level| level.to_string()),
        recoverable_days: attributes.recoverable_days,
    }
}
