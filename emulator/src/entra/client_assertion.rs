//! Client assertions (RFC 7523): signed with a registered certificate, or tokens of a federated issuer.

use super::assertion::Assertion;
use super::client_identity::ClientIdentity;
use super::error::EntraError;
use super::{certificate_credential, federated_credential};
use crate::state::State;
use crate::stats::CredentialKind;

/// The only `client_assertion_type` that Entra ID supports (RFC 7523, section 2.2).
pub(super) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Authenticates the client by its assertion: by a certificate if the client issued it, else as a federated token.
///
/// # Errors
/// The assertion is malformed or not valid now, or no registered credential matches it.
pub(super) fn check(
    state: &State,
    client: ClientIdentity<'_>,
    token: &str,
) -> Result<CredentialKind, EntraError> {
    let assertion = Assertion::parse(token)?;
    if assertion.claim("iss").eq_ignore_ascii_case(client.client_id) {
        certificate_credential::check(&state.credentials().certificates, client, &assertion)?;
        return Ok(CredentialKind::Certificate);
    }
    federated_credential::check(state, &assertion)?;
    Ok(CredentialKind::Federated)
}
