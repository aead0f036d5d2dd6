//! Authentication by token, and the challenge for requests without a valid one.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, header};

use super::host::VaultHost;
use crate::response::{self, VaultError};
use crate::state::{Challenge, State};
use crate::tokens::{Claims, EXPIRED_TOKEN, MISSING_TOKEN};

/// Validates the request's token and returns its claims.
///
/// # Errors
/// There is none, it is not valid, or the faults reject it. Gives Key Vault's message.
pub(super) fn authenticate(state: &State, vault: VaultHost, headers: &HeaderMap) -> Result<Claims, String> {
    let claims = state.tokens.check(bearer(headers).ok_or(MISSING_TOKEN)?, &vault.resource())?;
    if state.faults.rejects_token() {
        return Err(EXPIRED_TOKEN.into());
    }
    Ok(claims)
}

/// Returns the message of a 401 by a fault.
pub(super) fn message_of_401(headers: &HeaderMap) -> &'static str {
    bearer(headers).map_or(MISSING_TOKEN, |_| EXPIRED_TOKEN)
}

/// Returns the token of the `Authorization` header (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// Returns a 401 with the challenge. That of a managed HSM has no body.
pub(super) fn unauthorized(state: &State, vault: VaultHost, message: &str) -> Response<Body> {
    state.stats.unauthorized();
    let mut response = if vault.is_hsm() {
        response::text(401, response::JSON, String::new())
    } else {
        VaultError::new(401, "Unauthorized", message).response()
    };
    if let Ok(challenge) = HeaderValue::from_str(&challenge(state, vault)) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Returns the `WWW-Authenticate` header: the authority, and the audience in the form that is set.
fn challenge(state: &State, vault: VaultHost) -> String {
    let (tenant, resource) = (&state.directory.tenant_id, vault.resource());
    let audience = match state.challenge() {
        Challenge::Resource => format!("resource=\"{resource}\""),
        Challenge::Scope => format!("scope=\"{resource}/.default\""),
        Challenge::Foreign => "resource=\"https://vault.example.com\"".to_owned(),
    };
    let authority = vault.cloud.authority_host();
    format!("Bearer authorization=\"https://{authority}/{tenant}\", {audience}")
}
