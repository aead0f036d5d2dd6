//! Plain HTTP, for the daemon's own endpoints and the emulator's control API.

/// A client with connections of its own, which it reuses. It never uses a proxy.
pub struct Http(reqwest::Client);

impl Http {
    /// Returns a client without a connection.
    pub fn new() -> Self {
        Self(reqwest::Client::builder().no_proxy().build().expect("a client without TLS"))
    }

    /// Sends a request, and returns the status and the body of the response.
    ///
    /// # Errors
    /// There is no response.
    pub async fn request(&self, method: &str, url: &str) -> Result<(u16, String), String> {
        self.request_accepting(method, url, "*/*").await
    }

    /// Sends a request with that `Accept`, and returns the status and the body of the response.
    ///
    /// # Errors
    /// There is no response.
    pub async fn request_accepting(
        &self,
        method: &str,
        url: &str,
        accept: &str,
    ) -> Result<(u16, String), String> {
        let sent = async {
            let method = method.parse().expect("a method of HTTP");
            let response = self.0.request(method, url).header("accept", accept).send().await?;
            Ok((response.status().as_u16(), response.text().await?))
        };
        sent.await.map_err(|error: reqwest::Error| format!("{method} {url}: {error}"))
    }
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

/// Sends a request on a new connection, and returns the status and the body of the response.
///
/// # Errors
/// There is no response.
pub async fn http(method: &str, url: &str) -> Result<(u16, String), String> {
    Http::new().request(method, url).await
}
