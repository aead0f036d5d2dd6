//! The source of tokens: requests them from Entra ID or IMDS for the `TokenActor`, with the SDK's credentials.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::{ClientOptions, RetryOptions, Transport};
use azure_identity::{
    ClientAssertionCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId,
};

use super::assertion::{CertificateAssertion, FileAssertion};
use super::identity_transport::IdentityTransport;
use crate::config::{Access, AssertionConfig, CredentialConfig, ManagedIdentity, Proof, ServicePrincipal};
use crate::vault::{Token, TokenError, TokenSource};

/// A source of tokens from Entra ID or IMDS.
pub(crate) struct AzureTokenSource {
    credential: CredentialConfig,
    assertion: AssertionConfig,
    scope: String,
    transport: Arc<IdentityTransport>,
}

impl AzureTokenSource {
    /// Creates a source of tokens for `resource` (`https://vault.azure.net`).
    ///
    /// # Errors
    /// The HTTP client cannot be created; says why.
    pub(crate) fn new(access: &Access, resource: &str, assertion: AssertionConfig) -> Result<Self, String> {
        let transport = Arc::new(IdentityTransport::new(access)?);
        let (credential, scope) = (access.credential.clone(), super::scope_of(resource));
        Ok(Self { credential, assertion, scope, transport })
    }

    /// Creates the SDK's credential, for one token: its cache would return a token that Key Vault rejected.
    ///
    /// # Errors
    /// The SDK refuses the configuration.
    fn new_credential(&self) -> azure_core::Result<Arc<dyn TokenCredential>> {
        let client_options = ClientOptions {
            retry: RetryOptions::none(),
            transport: Some(Transport::new(self.transport.clone())),
            ..ClientOptions::default()
        };
        match &self.credential {
            CredentialConfig::ServicePrincipal(principal) => {
                self.service_principal(principal, client_options)
            }
            CredentialConfig::ManagedIdentity(identity) => {
                let user_assigned_id = user_assigned(identity);
                let options = ManagedIdentityCredentialOptions { user_assigned_id, client_options };
                Ok(ManagedIdentityCredential::new(Some(options))?)
            }
        }
    }

    /// Creates the SDK's credential of a service principal.
    ///
    /// # Errors
    /// As [`Self::new_credential`].
    fn service_principal(
        &self,
        principal: &ServicePrincipal,
        client_options: ClientOptions,
    ) -> azure_core::Result<Arc<dyn TokenCredential>> {
        let client_options =
            ClientOptions { cloud: Some(cloud(&principal.authority_host)), ..client_options };
        let (tenant, client) = (principal.tenant_id.clone(), principal.client_id.clone());
        let options = |client_options| Some(ClientAssertionCredentialOptions { client_options });
        match &principal.proof {
            Proof::Secret(secret) => {
                let secret = Secret::from(secret.expose().to_owned());
                let options = ClientSecretCredentialOptions { client_options };
                Ok(ClientSecretCredential::new(&tenant, client, secret, Some(options))?)
            }
            Proof::Certificate(certificate) => {
                let assertion = CertificateAssertion::new(principal, certificate.clone(), self.assertion);
                Ok(ClientAssertionCredential::new(tenant, client, assertion, options(client_options))?)
            }
            Proof::TokenFile(path) => {
                let assertion = FileAssertion::new(path.clone());
                Ok(ClientAssertionCredential::new(tenant, client, assertion, options(client_options))?)
            }
        }
    }
}

#[async_trait]
impl TokenSource for AzureTokenSource {
    async fn fetch(&self, serial: u64) -> Result<Token, TokenError> {
        let classify = |error: azure_core::Error| self.transport.classify(&error);
        let credential = self.new_credential().map_err(classify)?;
        let token = credential.get_token(&[&self.scope], None).await.map_err(classify)?;
        let token = Token::new(serial, token.token.secret().to_owned(), token.expires_on.into());
        if token.expose().is_empty() || token.expires <= token.obtained {
            Err(self.transport.malformed(None)) // the SDK accepts an empty JSON object
        } else {
            Ok(token)
        }
    }
}

fn cloud(authority_host: &str) -> Arc<CloudConfiguration> {
    let mut custom = CustomConfiguration::default();
    custom.authority_host = format!("https://{authority_host}");
    Arc::new(custom.into())
}

fn user_assigned(identity: &ManagedIdentity) -> Option<UserAssignedId> {
    match identity {
        ManagedIdentity::SystemAssigned => None,
        ManagedIdentity::ClientId(id) => Some(UserAssignedId::ClientId(id.clone())),
        ManagedIdentity::ObjectId(id) => Some(UserAssignedId::ObjectId(id.clone())),
        ManagedIdentity::ResourceId(id) => Some(UserAssignedId::ResourceId(id.clone())),
    }
}
