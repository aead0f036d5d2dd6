//! The attributes of a key version, for `preflight`.

use azure_security_keyvault_keys::models::{Key, KeyClientGetKeyOptions};

use super::AzureVault;
use super::error::classify;
use super::response::model;
use crate::kms::KeyVersion;
use crate::vault::{KeyDescription, VaultError};

impl AzureVault {
    /// Reads the attributes of that key version (`GET /keys/{name}/{version}`).
    ///
    /// # Errors
    /// As [`Vault::encrypt`](crate::vault::Vault::encrypt). A 403 only means that the identity may not read the key.
    pub(crate) async fn describe(&self, key: &KeyVersion) -> Result<KeyDescription, VaultError> {
        let options = KeyClientGetKeyOptions { key_version: Some(key.version.clone()), ..Default::default() };
        let response = self.client.get_key(&key.name, Some(options)).await.map_err(classify)?;
        Ok(description(model(response)?))
    }
}

fn description(bundle: Key) -> KeyDescription {
    let (key, attributes) = (bundle.key.unwrap_or_default(), bundle.attributes.unwrap_or_default());
    KeyDescription {
        key_type: key.kty.map(|key_type| key_type.to_string()).unwrap_or_default(),
        modulus_len: key.n.map(|n| n.len()),
        operations: key.key_ops.unwrap_or_default(),
        is_enabled: attributes.enabled.unwrap_or(true), // absent if it was never set
        not_before: attributes.not_before.map(Into::into),
        expires: attributes.expires.map(Into::into),
        recovery_level: attributes.recovery_level.map(|level| level.to_string()),
        recoverable_days: attributes.recoverable_days,
    }
}
