//! The proxy of proxy mode: plain HTTP, with the service in a header and the vault's host in the path.
//!
//! Entra ID's host is not in the path, so that of every cloud is played.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, Uri};

use crate::entra::{self, Authority};
use crate::reply;
use crate::server::Answer;
use crate::state::State;
use crate::vault::{self, Asked};

const TARGET: &str = "x-azure-proxy-target";

/// Whom a request is for.
enum Target {
    Vault(Asked, Uri),
    Entra,
}

/// Answers one request to the proxy.
pub(crate) async fn handle(state: Arc<State>, mut request: Request<Body>) -> Answer {
    let Some(target) = target(&request) else { return Ok(refusal(&request)) };
    state.stats.proxied();
    match target {
        Target::Entra => entra::handle(&state, Authority::any(), request).await,
        Target::Vault(asked, uri) => {
            *request.uri_mut() = uri;
            vault::handle(&state, asked, request).await
        }
    }
}

/// `None` when the header does not fit the path.
fn target(request: &Request<Body>) -> Option<Target> {
    let uri = request.uri();
    match request.headers().get(TARGET)?.as_bytes() {
        b"KeyVault" => behind(uri).map(|(asked, uri)| Target::Vault(asked, uri)),
        b"AzureActiveDirectory" => uri.path().split('/').nth(2)?.eq("oauth2").then_some(Target::Entra),
        _ => None,
    }
}

/// The vault that the path begins with, and the URL there.
fn behind(uri: &Uri) -> Option<(Asked, Uri)> {
    let path = uri.path_and_query()?.as_str().strip_prefix('/')?;
    let (host, rest) = path.split_once('/')?;
    let asked = Asked::by_host(&host.to_ascii_lowercase())?;
    Some((asked, format!("/{rest}").parse().ok()?))
}

fn refusal(request: &Request<Body>) -> Response<Body> {
    let path = request.uri().path();
    let text = format!(
        "{path}: the proxy serves /{{vault host}}/keys/... with \"{TARGET}: KeyVault\" and \
         /{{tenant}}/oauth2/... with \"{TARGET}: AzureActiveDirectory\"\n"
    );
    reply::text(400, "text/plain", text)
}
