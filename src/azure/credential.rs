//! Credentials: one way in, which fetches tokens for the `TokenActor`, and one way out, which hands the published
//! token to the SDK's Key Vault client. The second never waits and never calls anybody.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::http::{
    AsyncRawResponse, ClientOptions, HttpClient, RawResponse, Request, RetryOptions, Transport, Url,
};
use azure_identity::{
    ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId,
};

use super::cause::{beneath_http, find};
use super::transport;
use crate::config::{CredentialConfig, ManagedIdentity, NetworkConfig};
use crate::kms::Code;
use crate::vault::{Token, TokenError, TokenReader};

/// Where the `TokenActor` gets its tokens.
#[async_trait]
pub(crate) trait TokenSource: Send + Sync {
    /// One attempt to get a new token, numbered `serial`. No cache, no retry.
    async fn fetch(&self, serial: u64) -> Result<Token, TokenError>;
}

/// Tokens from Entra ID or IMDS, through the SDK's credentials.
pub(crate) struct AzureTokens {
    credential: CredentialConfig,
    scope: String,
    transport: Arc<IssuerTransport>,
}

impl AzureTokens {
    /// A source of tokens for `resource` (`https://vault.azure.net`).
    ///
    /// # Errors
    /// The HTTP client cannot be built; says why.
    pub(crate) fn new(
        credential: &CredentialConfig,
        resource: &str,
        network: &NetworkConfig,
    ) -> Result<Self, String> {
        let transport = Arc::new(IssuerTransport::new(credential, network)?);
        Ok(Self { credential: credential.clone(), scope: scope_of(resource), transport })
    }

    /// A fresh credential: the SDK's own cache would return a token that Key Vault rejected.
    fn build(&self) -> azure_core::Result<Arc<dyn TokenCredential>> {
        let client_options = ClientOptions {
            retry: RetryOptions::none(),
            transport: Some(Transport::new(self.transport.clone())),
            ..ClientOptions::default()
        };
        match &self.credential {
            CredentialConfig::ClientSecret { authority_host, tenant_id, client_id, secret } => {
                let client_options = ClientOptions { cloud: Some(cloud(authority_host)), ..client_options };
                let secret = Secret::from(secret.expose().to_owned());
                let options = ClientSecretCredentialOptions { client_options };
                Ok(ClientSecretCredential::new(tenant_id, client_id.clone(), secret, Some(options))?)
            }
            CredentialConfig::ManagedIdentity(identity) => {
                let user_assigned_id = user_assigned(identity);
                let options = ManagedIdentityCredentialOptions { user_assigned_id, client_options };
                Ok(ManagedIdentityCredential::new(Some(options))?)
            }
        }
    }
}

#[async_trait]
impl TokenSource for AzureTokens {
    async fn fetch(&self, serial: u64) -> Result<Token, TokenError> {
        let explain = |error: azure_core::Error| self.transport.explain(&error);
        let credential = self.build().map_err(explain)?;
        let token = credential.get_token(&[&self.scope], None).await.map_err(explain)?;
        Ok(Token::new(serial, token.token.secret().to_owned(), token.expires_on.into()))
    }
}

/// Hands the SDK's Key Vault client whatever the `TokenActor` published last.
pub(crate) struct PublishedCredential {
    tokens: TokenReader,
    scope: String,
}

impl PublishedCredential {
    /// Gives tokens for `resource` only.
    pub(crate) fn new(tokens: TokenReader, resource: &str) -> Self {
        Self { tokens, scope: scope_of(resource) }
    }
}

impl fmt::Debug for PublishedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishedCredential").finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenCredential for PublishedCredential {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let refuse = |why| Err(azure_core::Error::new(ErrorKind::Credential, why));
        if scopes != [self.scope.as_str()] {
            return refuse(Refusal::OtherResource);
        }
        match self.tokens.latest() {
            Some(token) => Ok(AccessToken::new(token.expose().to_owned(), token.expires_on.into())),
            None => refuse(Refusal::NoToken),
        }
    }
}

/// Why [`PublishedCredential`] gives no token. Carried through the SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The published token was rejected or expired after the call had begun.
    #[error("there is no valid token now")]
    NoToken,
    /// The challenge names a resource that is not the vault's.
    #[error("the challenge asks for a token of another resource")]
    OtherResource,
}

/// The HTTP client below the SDK's credentials. Turns every failure into one classified error that the SDK neither
/// retries (IMDS: up to 100 s) nor mangles (Entra's errors all hold `\r\n`, which its parser cannot read).
#[derive(Debug)]
struct IssuerTransport {
    client: reqwest::Client,
    /// Where IMDS is, when the credential is a managed identity.
    imds_base: Option<Url>,
}

impl IssuerTransport {
    fn new(credential: &CredentialConfig, network: &NetworkConfig) -> Result<Self, String> {
        match credential {
            CredentialConfig::ClientSecret { authority_host, .. } => {
                Ok(Self { client: transport::https_client(authority_host, network)?, imds_base: None })
            }
            CredentialConfig::ManagedIdentity(_) => {
                let base =
                    Url::parse(&network.imds_base).map_err(|error| format!("IMDS address: {error}"))?;
                Ok(Self { client: transport::imds_client()?, imds_base: Some(base) })
            }
        }
    }

    fn issuer(&self) -> &'static str {
        if self.imds_base.is_some() { "IMDS" } else { "Entra ID" }
    }

    /// The request with the configured address of IMDS in place of the well-known one.
    fn redirected(&self, request: &Request) -> Request {
        let mut request = request.clone();
        if let Some(base) = &self.imds_base {
            let url = request.url_mut();
            let _ = url.set_scheme(base.scheme()); // all three were valid in `base`
            let _ = url.set_host(base.host_str());
            let _ = url.set_port(base.port());
        }
        request
    }

    fn unreachable(&self, error: &azure_core::Error) -> TokenError {
        let message = format!("{} cannot be reached", self.issuer());
        TokenError { code: Code::Unavailable, message, cause: beneath_http(error) }
    }

    /// Our own classification, from wherever the SDK wrapped it.
    fn explain(&self, error: &azure_core::Error) -> TokenError {
        if let Some(IssuerError(error)) = find(error) {
            return error.clone();
        }
        let message = format!("the answer of {} could not be understood", self.issuer());
        TokenError { code: Code::Unavailable, message, cause: Some(error.kind().to_string()) }
    }

    fn refusal(&self, response: &RawResponse) -> TokenError {
        let status = u16::from(response.status());
        let details = serde_json::from_slice::<IssuerBody>(response.body()).unwrap_or_default().describe();
        let transient = matches!(status, 408 | 429 | 500..) || details.contains("temporarily_unavailable");
        // IMDS answers 404 and 410 while it is being updated
        let transient = transient || (self.imds_base.is_some() && matches!(status, 404 | 410));
        let (code, verb) = match transient {
            true => (Code::Unavailable, "is not available"),
            false => (Code::Unauthenticated, "refuses the plugin's credential"),
        };
        let message = format!("{} {verb} (HTTP {status}{details})", self.issuer());
        TokenError { code, message, cause: None }
    }
}

#[async_trait]
impl HttpClient for IssuerTransport {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let fail = |error| azure_core::Error::new(ErrorKind::Credential, IssuerError(error));
        let answer = self.client.execute_request(&self.redirected(request)).await;
        let response = answer.map_err(|error| fail(self.unreachable(&error)))?;
        let response = response.try_into_raw_response().await;
        let response = response.map_err(|error| fail(self.unreachable(&error)))?;
        if !response.status().is_success() {
            return Err(fail(self.refusal(&response)));
        }
        let (status, headers, body) = response.deconstruct();
        Ok(AsyncRawResponse::from_bytes(status, headers, body))
    }
}

/// Carries a [`TokenError`] through the SDK.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
struct IssuerError(TokenError);

/// The parts of an error answer that may be shown.
#[derive(Default, serde::Deserialize)]
struct IssuerBody {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_codes: Vec<u64>,
}

impl IssuerBody {
    fn describe(&self) -> String {
        let known: String =
            self.error.chars().filter(|c| c.is_ascii_lowercase() || *c == '_').take(64).collect();
        let code = self.error_codes.first().map(|code| format!(", AADSTS{code}")).unwrap_or_default();
        if known.is_empty() { code } else { format!(", {known}{code}") }
    }
}

fn scope_of(resource: &str) -> String {
    format!("{resource}/.default")
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
        ManagedIdentity::ResourceId(id) => Some(UserAssignedId::ResourceId(id.clone())),
    }
}

#[cfg(test)]
mod tests {
    use azure_core::http::{StatusCode, headers::Headers};

    use super::*;

    fn transport(imds_base: Option<&str>) -> IssuerTransport {
        let imds_base = imds_base.map(|base| Url::parse(base).unwrap());
        IssuerTransport { client: transport::imds_client().unwrap(), imds_base }
    }

    fn refusal(status: u16, body: &str) -> TokenError {
        let response = RawResponse::from_bytes(StatusCode::from(status), Headers::new(), body.to_owned());
        transport(None).refusal(&response)
    }

    #[test]
    fn a_wrong_secret_is_named_by_its_number_and_nothing_else_of_the_body_is_shown() {
        let body = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid\r\nTrace ID: 1\r\n",
                       "error_codes":[7000215],"correlation_id":"tenant-secret"}"#;
        let error = refusal(401, body);
        assert_eq!(error.code, Code::Unauthenticated);
        let expected = "Entra ID refuses the plugin's credential (HTTP 401, invalid_client, AADSTS7000215)";
        assert_eq!(error.message, expected);
    }

    #[test]
    fn a_gateway_s_html_is_an_outage() {
        let error = refusal(502, "<html>Bad Gateway</html>");
        assert_eq!(
            (error.code, error.message.as_str()),
            (Code::Unavailable, "Entra ID is not available (HTTP 502)")
        );
    }

    #[test]
    fn imds_is_called_at_the_configured_address() {
        let request = Request::new(
            Url::parse("http://169.254.169.254/metadata/identity/oauth2/token?a=b").unwrap(),
            azure_core::http::Method::Get,
        );
        let redirected = transport(Some("http://127.0.0.1:8080")).redirected(&request);
        assert_eq!(redirected.url().as_str(), "http://127.0.0.1:8080/metadata/identity/oauth2/token?a=b");
    }
}
