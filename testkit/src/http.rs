//! Plain HTTP, for the daemon's own endpoints and the emulator's control API.

/// A client that keeps its connections. Never through a proxy.
pub struct Http(reqwest::Client);

impl Http {
    /// A client without a connection yet.
    pub fn new() -> Self {
        Self(reqwest::Client::builder().no_proxy().build().expect("a client without TLS"))
    }

    /// The status and the body of the answer.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn ask(&self, method: &str, url: &str) -> Result<(u16, String), String> {
        self.ask_for(method, url, "*/*").await
    }

    /// The same, asked for in that form: an Accept header.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn ask_for(&self, method: &str, url: &str, accept: &str) -> Result<(u16, String), String> {
        let answered = async {
            let method = method.parse().expect("a method of HTTP");
            let response = self.0.request(method, url).header("accept", accept).send().await?;
            Ok((response.status().as_u16(), response.text().await?))
        };
        answered.await.map_err(|error: reqwest::Error| format!("{method} {url}: {error}"))
    }
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

/// The status and the body of the answer, by a connection of its own.
///
/// # Errors
/// Nobody answers.
pub async fn http(method: &str, url: &str) -> Result<(u16, String), String> {
    Http::new().ask(method, url).await
}
