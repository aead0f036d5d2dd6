//! The headers that every response of the real services has, as they were recorded.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Response};

use super::host::{REGION, VaultHost};
use crate::ids::random_guid;

/// The service's id of a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
/// The client's id of a request.
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
/// The client's address, as the service sees it.
const NETWORK: &str = "conn_type=Ipv4;addr=127.0.0.1;act_addr_fam=InterNetwork;";

/// The headers of vaults and of managed HSMs.
const COMMON: [(&str, &str); 4] = [
    ("cache-control", "no-cache"),
    ("x-content-type-options", "nosniff"),
    ("x-ms-keyvault-region", REGION),
    ("x-ms-keyvault-network-info", NETWORK),
];
/// The headers of vaults.
const VAULT: [(&str, &str); 4] = [
    ("pragma", "no-cache"),
    ("expires", "-1"),
    ("strict-transport-security", "max-age=31536000;includeSubDomains"),
    ("x-ms-keyvault-service-version", "1.9.422.1"),
];
/// The headers of managed HSMs.
const MANAGED_HSM: [(&str, &str); 5] = [
    ("strict-transport-security", "max-age=31536000; includeSubDomains"),
    ("content-security-policy", "default-src 'self'"),
    ("x-frame-options", "SAMEORIGIN"),
    ("x-ms-server-latency", "1"),
    ("x-ms-build-version", "1.0.0-emulator"),
];

/// Returns the client's id of its request, if the client asks for its return.
pub(super) fn client_request_id(request: &Request<Body>) -> Option<HeaderValue> {
    let wanted = request.headers().get("x-ms-return-client-request-id")?;
    let wanted = wanted.as_bytes().eq_ignore_ascii_case(b"true");
    request.headers().get(CLIENT_REQUEST_ID).filter(|_| wanted).cloned()
}

/// Returns the service's id of the request.
pub(super) fn request_id(response: &Response<Body>) -> &str {
    response.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default()
}

/// Adds all but `Date`, with a new request id.
pub(super) fn add(response: &mut Response<Body>, vault: VaultHost, client_request_id: Option<HeaderValue>) {
    let own: &[_] = if vault.is_hsm() { &MANAGED_HSM } else { &VAULT };
    let headers = response.headers_mut();
    for (name, value) in COMMON.iter().chain(own) {
        headers.insert(*name, HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::try_from(random_guid().unwrap_or_default()) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(id) = client_request_id {
        headers.insert(CLIENT_REQUEST_ID, id);
    }
}
