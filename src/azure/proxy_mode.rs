//! `--proxy-mode`: the plain HTTP proxy of the Go plugin. The SDK above this client sees the real URLs.

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::headers::HeaderName;
use azure_core::http::{AsyncRawResponse, HttpClient, Request, Url};
use reqwest::Client;

/// The header that names the service a request is for.
const TARGET: HeaderName = HeaderName::from_static("x-azure-proxy-target");

/// The service that the proxy forwards a request to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Key Vault: the host of the vault is prepended to the path.
    KeyVault,
    /// Entra ID or IMDS: the path is unchanged.
    EntraId,
}

impl Target {
    fn as_str(self) -> &'static str {
        match self {
            Self::KeyVault => "KeyVault",
            Self::EntraId => "AzureActiveDirectory",
        }
    }
}

/// An HTTP client that sends all requests to the proxy.
#[derive(Debug)]
pub(super) struct ProxyModeClient {
    client: Client,
    proxy: Url,
    target: Target,
}

impl ProxyModeClient {
    pub(super) fn new(client: Client, proxy: Url, target: Target) -> Self {
        Self { client, proxy, target }
    }

    /// Returns the request to send to the proxy.
    ///
    /// # Errors
    /// The path does not fit the proxy's URL.
    fn rewritten(&self, request: &Request) -> azure_core::Result<Request> {
        let url = request.url();
        let path = match self.target {
            Target::KeyVault => format!("/{}{}", url.host_str().unwrap_or_default(), url.path()),
            Target::EntraId => url.path().to_owned(),
        };
        let mut proxied =
            self.proxy.join(&path).map_err(|error| azure_core::Error::new(ErrorKind::Other, error))?;
        proxied.set_query(url.query());
        let mut request = request.clone();
        *request.url_mut() = proxied;
        request.insert_header(TARGET, self.target.as_str());
        Ok(request)
    }
}

#[async_trait]
impl HttpClient for ProxyModeClient {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        self.client.execute_request(&self.rewritten(request)?).await
    }
}

#[cfg(test)]
mod tests {
    use azure_core::http::Method;

    use super::*;

    fn rewritten(target: Target, url: &str) -> (String, String) {
        let client =
            ProxyModeClient::new(Client::new(), Url::parse("http://10.0.0.1:7788/").unwrap(), target);
        let request = Request::new(Url::parse(url).unwrap(), Method::Post);
        let request = client.rewritten(&request).unwrap();
        let header = request.headers().get_optional_string(&TARGET).unwrap();
        (request.url().to_string(), header)
    }

    #[test]
    fn requests_have_the_go_plugin_s_paths_and_header() {
        assert_eq!(
            rewritten(Target::KeyVault, "https://kv.vault.azure.net/keys/k/1/encrypt?api-version=7.4"),
            (
                "http://10.0.0.1:7788/kv.vault.azure.net/keys/k/1/encrypt?api-version=7.4".into(),
                "KeyVault".into()
            )
        );
        assert_eq!(
            rewritten(Target::EntraId, "https://login.microsoftonline.com/t/oauth2/v2.0/token"),
            ("http://10.0.0.1:7788/t/oauth2/v2.0/token".into(), "AzureActiveDirectory".into())
        );
    }
}
