//! The vault, through the SDK's `KeyClient`. One call is one attempt: the SDK's retries are off.
//!
//! Source: learn.microsoft.com, "Azure Key Vault REST API reference", Keys.

mod description;
mod error;
mod response;

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::http::{ClientOptions, RequestContent, Response, RetryOptions, Transport};
use azure_security_keyvault_keys::models::{
    EncryptionAlgorithm, KeyClientEncryptOptions, KeyClientGetKeyOptions, KeyClientWrapKeyOptions,
    KeyOperationParameters, KeyOperationResult,
};
use azure_security_keyvault_keys::{KeyClient, KeyClientOptions};

use super::connector::Connector;
use super::proxy_mode::Target;
use super::published_credential::PublishedCredential;
use super::transport;
use crate::config::{KeyConfig, NetworkConfig, Operations};
use crate::kms::{Algorithm, Decrypted, KeyVersion, Plaintext};
use crate::telemetry::traces;
use crate::vault::{EncryptResult, Failure, TokenReader, Vault, VaultError};
use error::classify;
use response::{REQUEST_ID, header, model, receipt};

/// A client of one key vault.
pub(crate) struct AzureVault {
    client: KeyClient,
    operations: Operations,
}

impl AzureVault {
    /// Creates a client of the key's vault that uses the published token.
    ///
    /// # Errors
    /// The HTTP client cannot be created, or the URL of the vault is invalid; says why.
    pub(crate) fn new(
        key: &KeyConfig,
        network: &NetworkConfig,
        connector: &Connector,
        tokens: TokenReader,
    ) -> Result<Self, String> {
        let http = transport::client(&key.vault_host(), Target::KeyVault, network, connector)?;
        let credential = Arc::new(PublishedCredential::new(tokens, &key.resource));
        let client_options = ClientOptions {
            retry: RetryOptions::none(),
            transport: Some(Transport::new(http)),
            ..ClientOptions::default()
        };
        let options = KeyClientOptions { client_options, ..KeyClientOptions::default() };
        let client = KeyClient::new(&key.vault_url(), credential, Some(options));
        let client = client.map_err(|error| format!("no client for {}: {error}", key.vault_url()))?;
        Ok(Self { client, operations: key.operations })
    }

    /// Sends an `encrypt` request, or a `wrapkey` request if so configured.
    ///
    /// # Errors
    /// The request fails: returns the SDK's error.
    async fn post_encrypt(
        &self,
        key: &KeyVersion,
        parameters: Parameters,
    ) -> azure_core::Result<Response<KeyOperationResult>> {
        let key_version = Some(key.version.clone());
        match self.operations {
            Operations::Encrypt => {
                let options = KeyClientEncryptOptions { key_version, ..Default::default() };
                self.client.encrypt(&key.name, parameters, Some(options)).await
            }
            Operations::Wrap => {
                let options = KeyClientWrapKeyOptions { key_version, ..Default::default() };
                self.client.wrap_key(&key.name, parameters, Some(options)).await
            }
        }
    }

    /// Sends a `decrypt` request, or an `unwrapkey` request if so configured.
    ///
    /// # Errors
    /// The request fails: returns the SDK's error.
    async fn post_decrypt(
        &self,
        key: &KeyVersion,
        parameters: Parameters,
    ) -> azure_core::Result<Response<KeyOperationResult>> {
        match self.operations {
            Operations::Encrypt => self.client.decrypt(&key.name, &key.version, parameters, None).await,
            Operations::Wrap => self.client.unwrap_key(&key.name, &key.version, parameters, None).await,
        }
    }
}

type Parameters = RequestContent<KeyOperationParameters>;

#[async_trait]
impl Vault for AzureVault {
    async fn encrypt(
        &self,
        key: &KeyVersion,
        algorithm: Algorithm,
        plaintext: &Plaintext,
    ) -> Result<EncryptResult, VaultError> {
        let parameters = parameters(algorithm, plaintext.expose())?;
        let response = self.post_encrypt(key, parameters).await.map_err(classify)?;
        let receipt = receipt(response.headers());
        traces::key_vault_answered(response.status().into(), Some(&receipt.request_id));
        let result = model(response)?;
        match (result.kid, result.result) {
            (Some(kid), Some(value)) => Ok(EncryptResult { kid, value, receipt }),
            _ => Err(VaultError::of_answer(Failure::Malformed, &receipt.request_id)),
        }
    }

    async fn decrypt(
        &self,
        key: &KeyVersion,
        algorithm: Algorithm,
        ciphertext: &[u8],
    ) -> Result<Decrypted, VaultError> {
        let parameters = parameters(algorithm, ciphertext)?;
        let response = self.post_decrypt(key, parameters).await.map_err(classify)?;
        let request_id = header(response.headers(), REQUEST_ID).unwrap_or_default();
        traces::key_vault_answered(response.status().into(), Some(&request_id));
        let plaintext = model(response)?.result.map(Plaintext::new);
        let plaintext = plaintext.ok_or_else(|| VaultError::of_answer(Failure::Malformed, &request_id))?;
        Ok(Decrypted { plaintext, request_id })
    }

    async fn modulus_len(&self, key: &KeyVersion) -> Result<usize, VaultError> {
        let options = KeyClientGetKeyOptions { key_version: Some(key.version.clone()), ..Default::default() };
        let response = self.client.get_key(&key.name, Some(options)).await.map_err(classify)?;
        let modulus = model(response)?.key.and_then(|key| key.n);
        modulus.map(|n| n.len()).ok_or_else(|| VaultError::without_answer(Failure::Malformed))
    }
}

/// Makes the body of a request.
///
/// # Errors
/// The SDK cannot serialize it.
fn parameters(algorithm: Algorithm, value: &[u8]) -> Result<Parameters, VaultError> {
    let algorithm = match algorithm {
        Algorithm::Rsa15 => EncryptionAlgorithm::Rsa1_5,
        Algorithm::RsaOaep256 => EncryptionAlgorithm::RsaOaep256,
    };
    let parameters = KeyOperationParameters {
        algorithm: Some(algorithm),
        value: Some(value.to_vec()),
        ..KeyOperationParameters::default()
    };
    parameters.try_into().map_err(|_| VaultError::without_answer(Failure::Malformed))
}
