//! Plain HTTP, for the daemon's own endpoints and the emulator's control API.

/// The status and the body of the answer. Never through a proxy.
///
/// # Errors
/// Nobody answers.
pub async fn http(method: &str, url: &str) -> Result<(u16, String), String> {
    ask(method, url).await.map_err(|error| format!("{method} {url}: {error}"))
}

async fn ask(method: &str, url: &str) -> Result<(u16, String), reqwest::Error> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let method = method.parse().expect("a method of HTTP");
    let response = client.request(method, url).send().await?;
    Ok((response.status().as_u16(), response.text().await?))
}
