//! Whether a service can be reached at all, for `preflight`: one request without a token, to which any answer will do.

use azure_core::http::{HttpClient, Method, Request, Url};
use reqwest::tls::TlsInfo;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::cause::beneath_http;
use super::proxy_mode::Target;
use super::transport;
use crate::config::NetworkConfig;

/// The `Date` of the answer, if it has one.
type Reached = Result<Option<String>, Unreached>;

/// Why there is no answer.
pub(crate) enum Unreached {
    /// There is no client to ask with: no trust roots.
    NoClient(String),
    /// It was asked.
    NoAnswer(String),
}

/// Asks the vault at that host.
pub(crate) async fn reach_vault(host: &str, network: &NetworkConfig) -> Reached {
    let client = transport::client(host, Target::KeyVault, network).map_err(Unreached::NoClient)?;
    ask(&*client, &format!("https://{host}/")).await
}

/// Asks Entra ID at that host.
pub(crate) async fn reach_entra(host: &str, network: &NetworkConfig) -> Reached {
    let client = transport::client(host, Target::EntraId, network).map_err(Unreached::NoClient)?;
    ask(&*client, &format!("https://{host}/")).await
}

/// Asks IMDS.
pub(crate) async fn reach_imds(base: &str) -> Reached {
    ask(&transport::imds_client().map_err(Unreached::NoClient)?, base).await
}

async fn ask(client: &dyn HttpClient, url: &str) -> Reached {
    let url = Url::parse(url).map_err(|error| Unreached::NoAnswer(error.to_string()))?;
    let answer = client.execute_request(&Request::new(url, Method::Get)).await;
    let cause = |error: azure_core::Error| beneath_http(&error).unwrap_or_else(|| error.kind().to_string());
    let answer = answer.map_err(|error| Unreached::NoAnswer(cause(error)))?;
    Ok(answer.headers().get_optional_string(&"date".into()))
}

/// A certificate as a server presents it, verified or not.
pub(crate) struct Presented {
    /// Whose it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
}

/// The certificate of that host. Only names are taken from it, and nothing is sent that is worth a secret.
pub(crate) async fn presented(host: &str, network: &NetworkConfig) -> Option<Presented> {
    let client = transport::unverifying_client(host, network).ok()?;
    let answer = client.get(format!("https://{host}/")).send().await.ok()?;
    let der = answer.extensions().get::<TlsInfo>()?.peer_certificate()?;
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(Presented { subject: certificate.subject().to_string(), issuer: certificate.issuer().to_string() })
}
