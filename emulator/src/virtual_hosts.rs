//! The services behind TLS, chosen by the request's host: vaults, managed HSMs and Entra ID.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Version, header};

use crate::clouds::Cloud;
use crate::entra::{self, Authority};
use crate::response;
use crate::server::HandlerResult;
use crate::state::State;
use crate::vault::{self, VaultHost};

/// Handles one request to any of them. A request to a vault on a connection that hangs never ends.
///
/// # Errors
/// The faults in force reset the connection.
pub(crate) async fn handle(state: Arc<State>, request: Request<Body>) -> HandlerResult {
    if request.version() == Version::HTTP_2 {
        state.stats.http2_request();
    }
    let host = host(&request).to_ascii_lowercase();
    if let Some(vault) = VaultHost::find(&host) {
        if let Some(connection) = request.extensions().get() {
            state.hung_connections.wait_if_hung(*connection).await;
        }
        return vault::handle(&state, vault, request).await;
    }
    match Cloud::of_authority(&host) {
        Some(cloud) => entra::handle(&state, Authority::of(cloud), request).await,
        None => Ok(response::text(404, "text/plain", format!("the emulator does not play {host}\n"))),
    }
}

/// Returns the host of `Host` or `:authority`, without a port.
fn host(request: &Request<Body>) -> &str {
    let header = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = header.or_else(|| request.uri().host()).unwrap_or_default();
    host.split(':').next().unwrap_or_default()
}
