//! The HTTP client below the SDK's credentials, and the classification of its failures.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::error::ErrorKind as SdkErrorKind;
use azure_core::http::{AsyncRawResponse, HttpClient, RawResponse, Request, Url};

use super::aadsts;
use super::cause::{find_cause, network_cause};
use super::connector::Connector;
use super::proxy_mode::Target;
use super::transport;
use crate::config::{Access, CredentialConfig};
use crate::kms::{Code, ErrorKind};
use crate::vault::TokenError;

/// The HTTP client below the SDK's credentials. Turns each failure into a classified error, which the SDK neither retries
/// (IMDS: for up to 100 s) nor parses (its parser fails on the `\r\n` in the errors of Entra ID).
#[derive(Debug)]
pub(super) struct IdentityTransport {
    client: Arc<dyn HttpClient>,
    /// The address of IMDS, when the credential is a managed identity.
    imds_base: Option<Url>,
}

impl IdentityTransport {
    /// Creates the client for the issuer of that access.
    ///
    /// # Errors
    /// The HTTP client cannot be created, or the address of IMDS is invalid; says why.
    pub(super) fn new(access: &Access) -> Result<Self, String> {
        let network = &access.network;
        match &access.credential {
            CredentialConfig::ServicePrincipal(principal) => {
                let client = transport::client(
                    &principal.authority_host,
                    Target::EntraId,
                    network,
                    &Connector::default(),
                )?;
                Ok(Self { client, imds_base: None })
            }
            CredentialConfig::ManagedIdentity(_) => {
                let base =
                    Url::parse(&network.imds_base).map_err(|error| format!("IMDS address: {error}"))?;
                Ok(Self { client: Arc::new(transport::imds_client()?), imds_base: Some(base) })
            }
        }
    }

    fn issuer(&self) -> &'static str {
        if self.imds_base.is_some() { "IMDS" } else { "Entra ID" }
    }

    /// Returns the request with the configured address of IMDS in place of the well-known one.
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
        TokenError {
            cause: network_cause(error),
            ..TokenError::new(Code::Unavailable, "token/unreachable", message)
        }
    }

    /// Makes the error of a response that cannot be parsed.
    pub(super) fn malformed(&self, cause: Option<String>) -> TokenError {
        let message = format!("the answer of {} could not be understood", self.issuer());
        TokenError { cause, ..TokenError::new(Code::Unavailable, "token/not-understood", message) }
    }

    /// Returns the classified error that the SDK wrapped, or else that of a malformed response.
    pub(super) fn classify(&self, error: &azure_core::Error) -> TokenError {
        if let Some(IssuerError(error)) = find_cause(error) {
            return error.clone();
        }
        self.malformed(Some(error.kind().to_string()))
    }

    /// Returns the meaning of the refusal and a reference to the documentation, as the end of a sentence.
    fn hint(&self, body: &IssuerBody) -> String {
        match (&self.imds_base, body.error_codes.first()) {
            (None, Some(number)) => aadsts::hint(*number),
            (Some(_), _) if body.error == "invalid_request" => {
                ": the identity is not assigned to this machine, or several are and azure.json names none; see \
                 docs/troubleshooting.md#imds-invalid-request"
                    .to_owned()
            }
            _ => String::new(),
        }
    }

    fn refusal(&self, response: &RawResponse) -> TokenError {
        let status = u16::from(response.status());
        let body: IssuerBody = serde_json::from_slice(response.body()).unwrap_or_default();
        // IMDS answers 404 and 410 while it is being updated
        let is_imds_update = self.imds_base.is_some() && matches!(status, 404 | 410);
        let is_overload = matches!(status, 408 | 429 | 500..) || body.error == "temporarily_unavailable";
        let (code, kind, verb) = if is_overload || is_imds_update {
            (Code::Unavailable, "token/unavailable", "is not available")
        } else {
            (Code::Unauthenticated, "token/refused", "refuses the plugin's credential")
        };
        let (issuer, details, hint) = (self.issuer(), body.describe(), self.hint(&body));
        let message = format!("{issuer} {verb} (HTTP {status}{details}){hint}");
        TokenError::new(code, ErrorKind::with_code(kind, body.code().as_deref()), message)
    }
}

#[async_trait]
impl HttpClient for IdentityTransport {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let fail = |error| azure_core::Error::new(SdkErrorKind::Credential, IssuerError(error));
        let response = self.client.execute_request(&self.redirected(request)).await;
        let response = response.map_err(|error| fail(self.unreachable(&error)))?;
        let response = response.try_into_raw_response().await;
        let response = response.map_err(|error| fail(self.unreachable(&error)))?;
        if !response.status().is_success() {
            return Err(fail(self.refusal(&response)));
        }
        let (status, headers, body) = response.deconstruct();
        Ok(AsyncRawResponse::from_bytes(status, headers, body))
    }
}

/// A [`TokenError`] as an error of the SDK.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
pub(super) struct IssuerError(pub(super) TokenError);

/// The parts of an error response that may be logged (RFC 6749 §5.2, and `error_codes` of Entra ID).
#[derive(Default, serde::Deserialize)]
struct IssuerBody {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_codes: Vec<u64>,
}

impl IssuerBody {
    /// Returns the OAuth error and the error number as the end of a sentence's parenthesis.
    fn describe(&self) -> String {
        let code = self.error_codes.first().map(|code| format!(", AADSTS{code}")).unwrap_or_default();
        self.oauth_error().map_or(code.clone(), |error| format!(", {error}{code}"))
    }

    /// Returns the error number of Entra ID, or else the OAuth error.
    fn code(&self) -> Option<String> {
        self.error_codes.first().map(|code| format!("AADSTS{code}")).or_else(|| self.oauth_error())
    }

    fn oauth_error(&self) -> Option<String> {
        let known = self.error.chars().filter(|c| c.is_ascii_lowercase() || *c == '_').take(64);
        Some(known.collect()).filter(|error: &String| !error.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use azure_core::http::{StatusCode, headers::Headers};

    use super::*;

    fn transport(imds_base: Option<&str>) -> IdentityTransport {
        let imds_base = imds_base.map(|base| Url::parse(base).unwrap());
        IdentityTransport { client: Arc::new(transport::imds_client().unwrap()), imds_base }
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
        let expected = "Entra ID refuses the plugin's credential (HTTP 401, invalid_client, AADSTS7000215): the client \
                        secret is wrong; see docs/troubleshooting.md#aadsts7000215";
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
    fn failures_differ_by_the_number_of_entra_id_and_not_by_the_status_of_an_outage() {
        let number = |number: u32| {
            refusal(400, &format!(r#"{{"error":"invalid_grant","error_codes":[{number}]}}"#)).kind
        };
        assert_eq!(number(53_003), number(53_003));
        assert_ne!(number(53_003), number(50_053));
        assert_eq!(refusal(500, "").kind, refusal(503, "").kind);
        assert_ne!(refusal(500, "").kind, number(53_003));
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
