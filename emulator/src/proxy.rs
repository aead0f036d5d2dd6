//! The proxy of proxy mode: plain HTTP, with the service in a header and the vault's host in the path.
//!
//! Entra ID's host is not in the path, so requests for it are served as those of every cloud.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, Uri};

use crate::entra::{self, Authority};
use crate::response;
use crate::server::HandlerResult;
use crate::state::State;
use crate::vault::{self, VaultHost};

/// The header that names the service.
const TARGET: &str = "x-azure-proxy-target";

/// The service that a request is for.
enum Target {
    /// A vault, with the path and query of the request there.
    Vault(VaultHost, Uri),
    /// Entra ID.
    Entra,
}

/// Handles one request to the proxy.
///
/// # Errors
/// The faults in force reset the connection.
pub(crate) async fn handle(state: Arc<State>, mut request: Request<Body>) -> HandlerResult {
    let Some(target) = target(&request) else { return Ok(bad_request(&request)) };
    state.stats.proxied();
    match target {
        Target::Entra => entra::handle(&state, Authority::any(), request).await,
        Target::Vault(vault, uri) => {
            *request.uri_mut() = uri;
            vault::handle(&state, vault, request).await
        }
    }
}

/// Finds the service; `None` when there is no such header or it does not fit the path.
fn target(request: &Request<Body>) -> Option<Target> {
    let uri = request.uri();
    match request.headers().get(TARGET)?.as_bytes() {
        b"KeyVault" => vault_target(uri),
        b"AzureActiveDirectory" => uri.path().split('/').nth(2)?.eq("oauth2").then_some(Target::Entra),
        _ => None,
    }
}

/// Splits the vault's host off the path.
fn vault_target(uri: &Uri) -> Option<Target> {
    let path = uri.path_and_query()?.as_str().strip_prefix('/')?;
    let (host, rest) = path.split_once('/')?;
    let vault = VaultHost::find(&host.to_ascii_lowercase())?;
    Some(Target::Vault(vault, format!("/{rest}").parse().ok()?))
}

/// Returns a 400 that says what the proxy serves.
fn bad_request(request: &Request<Body>) -> Response<Body> {
    let path = request.uri().path();
    let text = format!(
        "{path}: the proxy serves /{{vault host}}/keys/... with \"{TARGET}: KeyVault\" and \
         /{{tenant}}/oauth2/... with \"{TARGET}: AzureActiveDirectory\"\n"
    );
    response::text(400, "text/plain", text)
}
