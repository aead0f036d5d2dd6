//! Authentication of the client: its names, then its secret or its assertion.

use super::client_assertion;
use super::client_identity::ClientIdentity;
use super::error::EntraError;
use super::form::Fields;
use crate::application::ClientSecret;
use crate::state::State;
use crate::stats::CredentialKind;
use crate::tokens::now;

/// Authenticates the client by the form's fields, and returns the kind of its credential.
///
/// # Errors
/// Tenant, grant type or client are unknown, or the credential is missing or not accepted.
pub(super) fn check(
    state: &State,
    client: ClientIdentity<'_>,
    fields: &Fields,
) -> Result<CredentialKind, EntraError> {
    check_names(state, client, fields)?;
    let field = |name: &str| fields.get(name).map(String::as_str);
    match (field("client_assertion"), field("client_secret")) {
        (Some(token), _) if field("client_assertion_type") == Some(client_assertion::TYPE) => {
            client_assertion::check(state, client, token)
        }
        (Some(_), _) => Err(missing("client_assertion_type")),
        (None, Some(secret)) => check_secret(&state.credentials().secrets, client, secret),
        (None, None) => Err(EntraError::invalid_client(
            7_000_218,
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        )),
    }
}

/// Checks tenant, grant type and client id.
///
/// # Errors
/// One of them is not the emulator's.
fn check_names(state: &State, client: ClientIdentity<'_>, fields: &Fields) -> Result<(), EntraError> {
    let ClientIdentity { tenant, client_id, .. } = client;
    let directory = &state.directory;
    if !tenant.eq_ignore_ascii_case(&directory.tenant_id) {
        Err(unknown_tenant(tenant))
    } else if fields.get("grant_type").is_none_or(|grant| grant != "client_credentials") {
        Err(EntraError::new(400, "unsupported_grant_type", 70_003, "The grant type is not supported."))
    } else if !client_id.eq_ignore_ascii_case(&directory.client_id) {
        let text =
            format!("Application with identifier '{client_id}' was not found in the directory '{tenant}'.");
        Err(EntraError::new(400, "unauthorized_client", 700_016, text))
    } else {
        Ok(())
    }
}

/// Returns the error for a tenant that does not exist, or for a text that cannot name one.
fn unknown_tenant(tenant: &str) -> EntraError {
    let is_guid = tenant.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    if is_guid || tenant.contains('.') {
        EntraError::invalid_request(
            90_002,
            format!("Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID."),
        )
    } else {
        EntraError::invalid_request(
            900_023,
            format!(
                "Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain."
            ),
        )
    }
}

/// Checks a client secret.
///
/// # Errors
/// It is not registered, or is expired.
fn check_secret(
    secrets: &[ClientSecret],
    client: ClientIdentity<'_>,
    given: &str,
) -> Result<CredentialKind, EntraError> {
    let app = client.client_id;
    let Some(known) = secrets.iter().find(|known| known.value == given) else {
        return Err(EntraError::invalid_client(7_000_215, "Invalid client secret is provided."));
    };
    if known.expires.is_some_and(|end| end <= now()) {
        let text = format!("The provided client secret keys for app '{app}' are expired.");
        return Err(EntraError::invalid_client(7_000_222, text));
    }
    Ok(CredentialKind::Secret)
}

fn missing(name: &str) -> EntraError {
    let text = format!("The request body must contain the following parameter: '{name}'.");
    EntraError::invalid_request(900_144, text)
}
