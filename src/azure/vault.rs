//! The vault, through the SDK's `KeyClient`. One call is one attempt: the SDK's retries are off.

mod description;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::headers::Headers;
use azure_core::http::{ClientOptions, RawResponse, RequestContent, Response, RetryOptions, Transport};
use azure_security_keyvault_keys::models::{
    EncryptionAlgorithm, KeyClientEncryptOptions, KeyClientGetKeyOptions, KeyClientWrapKeyOptions,
    KeyOperationParameters, KeyOperationResult,
};
use azure_security_keyvault_keys::{KeyClient, KeyClientOptions};

use super::cause::{beneath_http, find};
use super::proxy_mode::Target;
use super::published_credential::{PublishedCredential, Refusal};
use super::transport;
use crate::config::{KeyConfig, NetworkConfig, Operations};
use crate::kms::{Algorithm, Decrypted, KeyVersion, Plaintext, Receipt};
use crate::telemetry::traces;
use crate::vault::{EncryptResult, Failure, TokenReader, Vault, VaultError};

/// A key vault of Azure.
pub(crate) struct AzureVault {
    client: KeyClient,
    operations: Operations,
}

impl AzureVault {
    /// A client of that vault with the published token.
    ///
    /// # Errors
    /// The HTTP client cannot be built; says why.
    pub(crate) fn new(key: &KeyConfig, network: &NetworkConfig, tokens: TokenReader) -> Result<Self, String> {
        let http = transport::client(&key.vault_host(), Target::KeyVault, network)?;
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

    async fn seal(
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

    async fn open(
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

/// Names one request in Key Vault's own logs.
const REQUEST_ID: &str = "x-ms-request-id";

type Parameters = RequestContent<KeyOperationParameters>;

#[async_trait]
impl Vault for AzureVault {
    async fn encrypt(
        &self,
        key: &KeyVersion,
        algorithm: Algorithm,
        plaintext: &Plaintext,
    ) -> Result<EncryptResult, VaultError> {
        let response = self.seal(key, parameters(algorithm, plaintext.expose())?).await.map_err(classify)?;
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
        let response = self.open(key, parameters(algorithm, ciphertext)?).await.map_err(classify)?;
        let request_id = header(response.headers(), REQUEST_ID).unwrap_or_default();
        traces::key_vault_answered(response.status().into(), Some(&request_id));
        let plaintext = model(response)?.result.map(Plaintext::new);
        let plaintext = plaintext.ok_or_else(|| VaultError::of_answer(Failure::Malformed, &request_id))?;
        Ok(Decrypted { plaintext, request_id })
    }

    async fn modulus(&self, key: &KeyVersion) -> Result<usize, VaultError> {
        let options = KeyClientGetKeyOptions { key_version: Some(key.version.clone()), ..Default::default() };
        let response = self.client.get_key(&key.name, Some(options)).await.map_err(classify)?;
        let modulus = model(response)?.key.and_then(|key| key.n);
        modulus.map(|n| n.len()).ok_or_else(|| VaultError::without_answer(Failure::Malformed))
    }
}

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

fn model<T: serde::de::DeserializeOwned>(response: Response<T>) -> Result<T, VaultError> {
    let status = Some(u16::from(response.status()));
    let request_id = header(response.headers(), REQUEST_ID).unwrap_or_default();
    let malformed = |_| VaultError { status, ..VaultError::of_answer(Failure::Malformed, &request_id) };
    response.into_model().map_err(malformed)
}

fn receipt(headers: &Headers) -> Receipt {
    let header = |name| header(headers, name).unwrap_or_default();
    Receipt { date: header("date"), request_id: header(REQUEST_ID), region: header("x-ms-keyvault-region") }
}

fn header(headers: &Headers, name: &'static str) -> Option<String> {
    headers.get_optional_string(&name.into())
}

/// The SDK's error in our terms. Reads the body itself, since the SDK's parser fails on every escape in it.
fn classify(error: azure_core::Error) -> VaultError {
    match error.kind() {
        ErrorKind::HttpResponse { status, raw_response, .. } => {
            answered(u16::from(*status), raw_response.as_deref())
        }
        ErrorKind::Connection | ErrorKind::Io => unanswered(Failure::Unreachable, &error),
        _ => match find(&error) {
            Some(Refusal::NoToken) => VaultError::without_answer(Failure::NoToken),
            Some(Refusal::OtherResource) => VaultError::without_answer(Failure::WrongResource),
            // the SDK's own check, before it asks for a token; it has no kind of its own
            None if error.to_string().contains("doesn't match the requested domain") => {
                VaultError::without_answer(Failure::WrongResource)
            }
            None => unanswered(Failure::Malformed, &error),
        },
    }
}

/// Of an error that does not come from the network only its kind is told: its text may hold parts of an answer.
fn unanswered(failure: Failure, error: &azure_core::Error) -> VaultError {
    let cause = beneath_http(error).unwrap_or_else(|| error.kind().to_string());
    VaultError { cause: Some(cause), ..VaultError::without_answer(failure) }
}

fn answered(status: u16, response: Option<&RawResponse>) -> VaultError {
    let code = response.and_then(|response| error_code(response.body()));
    let retry_after = response.and_then(|response| retry_after(response.headers()));
    let request_id = response.and_then(|response| header(response.headers(), REQUEST_ID));
    traces::key_vault_answered(status, request_id.as_deref());
    let failure = failure(status, code.as_deref());
    VaultError { status: Some(status), code, retry_after, request_id, ..VaultError::without_answer(failure) }
}

fn failure(status: u16, code: Option<&str>) -> Failure {
    match (status, code) {
        (400, _) => Failure::BadRequest,
        (401, _) => Failure::Unauthorized,
        (403, Some("KeyDisabled" | "KeyNotYetValid" | "KeyExpired")) => Failure::KeyUnusable,
        (403, Some("KeyOperationForbidden")) => Failure::OperationNotAllowed,
        (403, _) => Failure::Forbidden,
        (404, _) => Failure::NotFound,
        (429, _) => Failure::Throttled,
        (408 | 500.., _) => Failure::ServerError,
        _ => Failure::Unexpected,
    }
}

/// `error.innererror.code`, or `error.code`, of Key Vault's error body; letters and digits only.
fn error_code(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let code = body.pointer("/error/innererror/code").or_else(|| body.pointer("/error/code"))?.as_str()?;
    let plain = (1..=64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain.then(|| code.to_owned())
}

/// Nobody waits longer, whatever Key Vault asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// `Retry-After` in seconds or as a date (RFC 9110 §10.2.3), or Azure's variants in milliseconds.
fn retry_after(headers: &Headers) -> Option<Duration> {
    asked_to_wait(headers).map(|wait| wait.min(LONGEST_WAIT))
}

fn asked_to_wait(headers: &Headers) -> Option<Duration> {
    let header = |name| header(headers, name);
    let milliseconds = header("x-ms-retry-after-ms").or_else(|| header("retry-after-ms"));
    if let Some(milliseconds) = milliseconds.and_then(|value| value.parse().ok()) {
        return Some(Duration::from_millis(milliseconds));
    }
    let value = header("retry-after")?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at: SystemTime = azure_core::time::parse_rfc7231(&value).ok()?.into();
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use azure_core::http::StatusCode;

    use super::*;

    fn error(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> VaultError {
        let mut all = Headers::new();
        for (name, value) in headers {
            all.insert(*name, *value);
        }
        answered(status, Some(&RawResponse::from_bytes(StatusCode::from(status), all, body)))
    }

    #[test]
    fn an_rbac_refusal_with_escapes_in_its_body_is_understood_and_not_repeated() {
        let body = r#"{"error":{"code":"Forbidden","message":"Caller: appid=1;oid=2\r\n","innererror":{"code":"ForbiddenByRbac"}}}"#;
        let error = error(403, &[], body);
        assert_eq!((error.failure, error.code.as_deref()), (Failure::Forbidden, Some("ForbiddenByRbac")));
        assert!(!error.to_string().contains("appid"));
    }

    #[test]
    fn a_disabled_key_is_told_apart_from_a_missing_right() {
        let body = r#"{"error":{"code":"Forbidden","message":"x","innererror":{"code":"KeyDisabled"}}}"#;
        assert_eq!(error(403, &[], body).failure, Failure::KeyUnusable);
    }

    #[test]
    fn an_operation_that_the_key_does_not_allow_is_not_the_identity_s_fault() {
        let body =
            r#"{"error":{"code":"Forbidden","message":"x","innererror":{"code":"KeyOperationForbidden"}}}"#;
        let error = error(403, &[], body);
        assert_eq!(error.failure, Failure::OperationNotAllowed);
        let told = error.to_string();
        assert!(told.contains("key_ops") && !told.contains("identity"), "{told}");
    }

    #[test]
    fn a_refusal_has_its_request_id() {
        let refused = error(403, &[("x-ms-request-id", "1f")], "");
        assert_eq!(refused.request_id.as_deref(), Some("1f"));
        assert_eq!(error(403, &[], "").request_id, None);
    }

    #[test]
    fn html_and_odd_codes_are_not_shown() {
        assert_eq!(error(502, &[], "<html>").code, None);
        assert_eq!(error(400, &[], r#"{"error":{"code":"https://tenant/x"}}"#).code, None);
    }

    #[test]
    fn retry_after_is_read_in_every_form() {
        for (name, value, seconds) in
            [("retry-after", "7", 7), ("retry-after-ms", "2000", 2), ("x-ms-retry-after-ms", "3000", 3)]
        {
            assert_eq!(error(429, &[(name, value)], "").retry_after, Some(Duration::from_secs(seconds)));
        }
        let past = error(429, &[("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")], "");
        assert_eq!(past.retry_after, Some(Duration::ZERO));
        assert_eq!(error(429, &[], "").retry_after, None);
        let endless = error(429, &[("retry-after", "18446744073709551615")], "");
        assert_eq!(endless.retry_after, Some(LONGEST_WAIT));
    }
}
