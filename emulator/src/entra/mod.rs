//! Entra ID: the v1 and v2 token endpoints, and the discovery documents that MSAL fetches first.

mod assertion;
mod authority;
mod certificate_credential;
mod client_assertion;
mod client_identity;
mod credentials;
mod error;
mod federated_credential;
mod form;
mod token;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Response, header};
use serde_json::json;

use crate::clouds::PUBLIC;
use crate::fault_injection;
use crate::faults::Service;
use crate::response;
use crate::server::HandlerResult;
use crate::state::State;
pub(crate) use authority::Authority;
use error::EntraError;
use token::{Endpoint, token};

/// Handles one request to that Entra ID.
///
/// # Errors
/// The faults in force reset the connection.
pub(crate) async fn handle(
    state: &Arc<State>,
    authority: Authority,
    request: Request<Body>,
) -> HandlerResult {
    let fail = |status| error_with_status(status).response(authority.host());
    let mut response =
        fault_injection::handle(state, Service::Entra, fail, serve(state, authority, request)).await?;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-cache"));
    Ok(response)
}

/// Responds without faults.
async fn serve(state: &Arc<State>, authority: Authority, request: Request<Body>) -> Response<Body> {
    let path = request.uri().path().to_ascii_lowercase();
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let token = |tenant, request, endpoint| token(state, authority, tenant, request, endpoint);
    match segments.as_slice() {
        ["common", "discovery", "instance"] => instances(state, authority),
        [tenant, "v2.0", ".well-known", "openid-configuration"] => configuration(authority, tenant),
        [_, "discovery", "v2.0", "keys"] => response::json(200, &state.tokens.jwks()),
        [tenant, "oauth2", "v2.0", "token"] => token(tenant, request, Endpoint::V2).await,
        [tenant, "oauth2", "token"] => token(tenant, request, Endpoint::V1).await,
        _ => response::page(404, "404"),
    }
}

/// Returns the instance discovery document. MSAL fetches that of the public cloud for every cloud that it knows; of
/// another cloud, the document names that cloud alone.
fn instances(state: &State, authority: Authority) -> Response<Body> {
    let (tenant, host) = (&state.directory.tenant_id, authority.host());
    let (cache, aliases) = if host == PUBLIC.authority_host() {
        ("login.windows.net", vec![host, "login.windows.net", "login.microsoft.com", "sts.windows.net"])
    } else {
        (host, vec![host])
    };
    let metadata = json!({ "preferred_network": host, "preferred_cache": cache, "aliases": aliases });
    let endpoint = format!("https://{host}/{tenant}/v2.0/.well-known/openid-configuration");
    let body = json!({ "tenant_discovery_endpoint": endpoint, "api-version": "1.1", "metadata": [metadata] });
    response::json(200, &body)
}

/// Returns the OpenID provider configuration (OpenID Connect Discovery 1.0, section 4).
fn configuration(authority: Authority, tenant: &str) -> Response<Body> {
    let base = format!("https://{}/{tenant}", authority.host());
    let body = json!({
        "token_endpoint": format!("{base}/oauth2/v2.0/token"),
        "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
        "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
        "jwks_uri": format!("{base}/discovery/v2.0/keys"),
        "issuer": format!("{base}/v2.0"),
        "response_types_supported": ["code"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "tenant_region_scope": "EU",
        "cloud_instance_name": "microsoftonline.com",
    });
    response::json(200, &body)
}

/// Returns Entra ID's error with that status.
fn error_with_status(status: u16) -> EntraError {
    let (error, code, text) = match status {
        401 => ("invalid_client", 7_000_222, "The provided client secret keys for the app are expired."),
        403 => ("unauthorized_client", 700_016, "Application was not found in the directory."),
        429 => ("temporarily_unavailable", 90_033, "Too many requests."),
        500.. => ("temporarily_unavailable", 90_033, "A transient error has occurred."),
        _ => ("invalid_request", 900_023, "The specified tenant identifier is not valid."),
    };
    EntraError::new(status, error, code, text)
}
