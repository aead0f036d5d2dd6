//! Who asks: tokens, and the challenge for those who bring none.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, header};

use super::asked::Asked;
use crate::reply::{self, VaultError};
use crate::state::{Challenge, State};
use crate::tokens::{Claims, EXPIRED, MISSING};

/// The claims of the request's token.
///
/// # Errors
/// What is wrong with it.
pub(super) fn authenticate(state: &State, vault: Asked, headers: &HeaderMap) -> Result<Claims, String> {
    let claims = state.tokens.check(bearer(headers).ok_or(MISSING)?, &vault.resource())?;
    match state.faults.refuses_token() {
        true => Err(EXPIRED.into()),
        false => Ok(claims),
    }
}

/// What a 401 that was asked for says.
pub(super) fn complaint(headers: &HeaderMap) -> &'static str {
    bearer(headers).map_or(MISSING, |_| EXPIRED)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// A 401 with the challenge. A managed HSM says no more than that.
pub(super) fn unauthorized(state: &State, vault: Asked, message: &str) -> Response<Body> {
    state.stats.unauthorized();
    let mut response = match vault.is_hsm() {
        true => reply::text(401, reply::JSON, String::new()),
        false => VaultError::new(401, "Unauthorized", message).response(),
    };
    if let Ok(challenge) = HeaderValue::from_str(&challenge(state, vault)) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

fn challenge(state: &State, vault: Asked) -> String {
    let (tenant, resource) = (&state.directory.tenant_id, vault.resource());
    let audience = match state.challenge() {
        Challenge::Resource => format!("resource=\"{resource}\""),
        Challenge::Scope => format!("scope=\"{resource}/.default\""),
        Challenge::Foreign => "resource=\"https://vault.example.com\"".to_owned(),
    };
    let authority = vault.cloud.authority_host();
    format!("Bearer authorization=\"https://{authority}/{tenant}\", {audience}")
}
