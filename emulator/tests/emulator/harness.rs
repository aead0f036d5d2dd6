//! An emulator in this process, and a client that finds Azure's hosts there.

use std::path::Path;

use akv_emulator::clouds::{self, Cloud};
use akv_emulator::{Emulator, Info, Options};
use reqwest::header::HeaderMap;
use reqwest::{Certificate, Client, ClientBuilder, Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const VAULT: &str = "https://vault.azure.net";

/// An emulator, and a client of all its services.
pub(crate) struct Azure {
    pub(crate) emulator: Emulator,
    pub(crate) http: Client,
    pub(crate) dir: TempDir,
}

/// A response with its whole body.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Response {
    /// Sends the request.
    pub(crate) async fn to(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// Returns the JSON of a 200, or panics.
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()
    }

    /// Returns the AADSTS code of Entra ID's error.
    pub(crate) fn aadsts(&self) -> u64 {
        let error = self.json();
        let code = error["error_codes"][0].as_u64().unwrap_or_else(|| panic!("{}", self.text));
        let description = error["error_description"].as_str().unwrap();
        assert!(description.starts_with(&format!("AADSTS{code}: ")), "{description}");
        code
    }

    /// Returns the status with the inner code of Key Vault's error, or with its code.
    pub(crate) fn code(&self) -> String {
        let error = &self.json()["error"];
        let code = error["innererror"]["code"].as_str().or(error["code"].as_str());
        format!("{} {}", self.status, code.unwrap())
    }

    pub(crate) fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap().to_owned()
    }
}

impl Azure {
    pub(crate) async fn start() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap()).await
    }

    pub(crate) async fn in_folder(dir: TempDir) -> Self {
        let emulator = Emulator::start(Options::new(dir.path())).await.unwrap();
        let http = client(emulator.info(), dir.path());
        Self { emulator, http, dir }
    }

    /// Restarts the emulator in the same folder.
    pub(crate) async fn restart(self) -> Self {
        self.emulator.shutdown().await;
        Self::in_folder(self.dir).await
    }

    pub(crate) fn info(&self) -> &Info {
        self.emulator.info()
    }

    /// Returns a request without a token to a vault; the path may have a query.
    pub(crate) fn anonymous(&self, host: &str, method: &str, path: &str) -> RequestBuilder {
        let version = if path.contains("api-version") { "" } else { "?api-version=7.4" };
        self.http.request(method.parse::<Method>().unwrap(), format!("https://{host}{path}{version}"))
    }

    /// Calls the vault as the service principal.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Value) -> Response {
        let token = self.token(VAULT).await;
        let request = self.anonymous(&self.info().vault_host, method, path).bearer_auth(token);
        Response::to(request.body(body.to_string())).await
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.call("GET", path, Value::Null).await
    }

    /// Performs a cryptographic operation with the newest version of the first key.
    pub(crate) async fn perform(&self, operation: &str, value: &str) -> Response {
        let body = json!({ "alg": "RSA-OAEP-256", "value": value });
        self.call("POST", &format!("/keys/k8s/{operation}"), body).await
    }

    pub(crate) async fn create(&self, name: &str, body: Value) -> Response {
        self.call("POST", &format!("/keys/{name}/create"), body).await
    }

    /// Returns a token of the v2 endpoint.
    pub(crate) async fn token(&self, resource: &str) -> String {
        let scope = format!("{resource}/.default");
        let response = self.request_token("oauth2/v2.0/token", &[("scope", &scope)]).await;
        response.ok()["access_token"].as_str().unwrap().to_owned()
    }

    /// Requests a token as the service principal, with more fields of the form.
    pub(crate) async fn request_token(&self, endpoint: &str, fields: &[(&str, &str)]) -> Response {
        let info = self.info();
        let own = [("client_id", info.client_id.as_str()), ("client_secret", &info.client_secret)];
        Response::to(self.entra(endpoint, &[&own, fields].concat())).await
    }

    pub(crate) fn entra(&self, endpoint: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        self.entra_at(&self.info().authority_host, endpoint, fields)
    }

    /// Returns a request to a token endpoint at that host.
    pub(crate) fn entra_at(&self, host: &str, endpoint: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let url = format!("https://{host}/{}/{endpoint}", self.info().tenant_id);
        let all = [&[("grant_type", "client_credentials")], fields].concat();
        let form: Vec<String> = all.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.http.post(url).header("content-type", "application/x-www-form-urlencoded").body(form.join("&"))
    }

    pub(crate) async fn control(&self, method: &str, path: &str, body: Value) -> Response {
        let url = format!("{}{path}", self.info().control_url);
        let request = self.http.request(method.parse::<Method>().unwrap(), url);
        Response::to(request.body(body.to_string())).await
    }

    pub(crate) async fn control_ok(&self, method: &str, path: &str, body: Value) -> Value {
        self.control(method, path, body).await.ok()
    }
}

/// Returns a client that trusts the folder's CA only, and uses HTTP/1.1 as the recorded clients did.
pub(crate) fn client(info: &Info, dir: &Path) -> Client {
    client_builder(info, dir).http1_only().no_proxy().build().unwrap()
}

/// Returns the builder of a client that resolves the hosts of every cloud to the emulator.
pub(crate) fn client_builder(info: &Info, dir: &Path) -> ClientBuilder {
    let ca = std::fs::read(dir.join("ca.pem")).unwrap();
    let builder = Client::builder().tls_certs_only([Certificate::from_pem(&ca).unwrap()]);
    let hosts = clouds::ALL.into_iter().flat_map(Cloud::hosts);
    hosts.fold(builder, |builder, host| builder.resolve(&host, info.vault_addr))
}

/// Returns the claims of a token without any check.
pub(crate) fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap();
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&payload).unwrap()
}
