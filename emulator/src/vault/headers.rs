//! The headers that every answer of the real services has, as they were recorded.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Response};

use super::REGION;
use super::asked::Asked;
use crate::ids::random_guid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
const NETWORK: &str = "conn_type=Ipv4;addr=127.0.0.1;act_addr_fam=InterNetwork;";

const OF_BOTH: [(&str, &str); 4] = [
    ("cache-control", "no-cache"),
    ("x-content-type-options", "nosniff"),
    ("x-ms-keyvault-region", REGION),
    ("x-ms-keyvault-network-info", NETWORK),
];
const OF_A_VAULT: [(&str, &str); 4] = [
    ("pragma", "no-cache"),
    ("expires", "-1"),
    ("strict-transport-security", "max-age=31536000;includeSubDomains"),
    ("x-ms-keyvault-service-version", "1.9.422.1"),
];
const OF_A_MANAGED_HSM: [(&str, &str); 5] = [
    ("strict-transport-security", "max-age=31536000; includeSubDomains"),
    ("content-security-policy", "default-src 'self'"),
    ("x-frame-options", "SAMEORIGIN"),
    ("x-ms-server-latency", "1"),
    ("x-ms-build-version", "1.0.0-emulator"),
];

/// The client's own id of its request, if it wants it back.
pub(super) fn echo(request: &Request<Body>) -> Option<HeaderValue> {
    let wanted = request.headers().get("x-ms-return-client-request-id")?;
    let wanted = wanted.as_bytes().eq_ignore_ascii_case(b"true");
    request.headers().get(CLIENT_REQUEST_ID).filter(|_| wanted).cloned()
}

/// The name of this answer.
pub(super) fn request_id(response: &Response<Body>) -> &str {
    response.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default()
}

/// Adds them. The date is there.
pub(super) fn add(response: &mut Response<Body>, vault: Asked, echo: Option<HeaderValue>) {
    let own: &[_] = if vault.is_hsm() { &OF_A_MANAGED_HSM } else { &OF_A_VAULT };
    let headers = response.headers_mut();
    for (name, value) in OF_BOTH.iter().chain(own) {
        headers.insert(*name, HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::try_from(random_guid().unwrap_or_default()) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(id) = echo {
        headers.insert(CLIENT_REQUEST_ID, id);
    }
}
