//! The connectivity checks of `preflight`: one request without a token to each service. Any response passes.

use azure_core::http::{HttpClient, Method, Request, Url};
use reqwest::tls::TlsInfo;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::cause::network_cause;
use super::connector::Connector;
use super::proxy_mode::Target;
use super::transport;
use crate::config::NetworkConfig;

/// The `Date` header of the response, if it has one.
type Reached = Result<Option<String>, ReachError>;

/// The reason why a service was not reached.
pub(crate) enum ReachError {
    /// The client cannot be created, for example without trust roots.
    NoClient(String),
    /// The request got no response.
    NoAnswer(String),
}

/// Sends a request to the vault at that host.
///
/// # Errors
/// The client cannot be created, or there is no response.
pub(crate) async fn reach_vault(host: &str, network: &NetworkConfig) -> Reached {
    let client = transport::client(host, Target::KeyVault, network, &Connector::default())
        .map_err(ReachError::NoClient)?;
    get(&*client, &format!("https://{host}/")).await
}

/// Sends a request to Entra ID at that host.
///
/// # Errors
/// As [`reach_vault`].
pub(crate) async fn reach_entra(host: &str, network: &NetworkConfig) -> Reached {
    let client = transport::client(host, Target::EntraId, network, &Connector::default())
        .map_err(ReachError::NoClient)?;
    get(&*client, &format!("https://{host}/")).await
}

/// Sends a request to IMDS at that URL.
///
/// # Errors
/// As [`reach_vault`].
pub(crate) async fn reach_imds(base: &str) -> Reached {
    get(&transport::imds_client().map_err(ReachError::NoClient)?, base).await
}

/// Sends a GET request.
///
/// # Errors
/// The URL is invalid, or there is no response.
async fn get(client: &dyn HttpClient, url: &str) -> Reached {
    let url = Url::parse(url).map_err(|error| ReachError::NoAnswer(error.to_string()))?;
    let response = client.execute_request(&Request::new(url, Method::Get)).await;
    let cause = |error: azure_core::Error| network_cause(&error).unwrap_or_else(|| error.kind().to_string());
    let response = response.map_err(|error| ReachError::NoAnswer(cause(error)))?;
    Ok(response.headers().get_optional_string(&"date".into()))
}

/// A certificate that a server presented, verified or not.
pub(crate) struct PresentedCertificate {
    /// The name of its owner.
    pub subject: String,
    /// The name of its issuer.
    pub issuer: String,
}

/// Returns the names in the certificate that the host presents, without verifying it. The request holds no secret.
pub(crate) async fn presented_certificate(
    host: &str,
    network: &NetworkConfig,
) -> Option<PresentedCertificate> {
    let client = transport::unverifying_client(host, network).ok()?;
    let response = client.get(format!("https://{host}/")).send().await.ok()?;
    let der = response.extensions().get::<TlsInfo>()?.peer_certificate()?;
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(PresentedCertificate {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
    })
}
