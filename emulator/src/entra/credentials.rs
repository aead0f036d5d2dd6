//! Who asks for a token, and with what it proves that.

use super::assertion::{self, Asking};
use super::refusal::Refusal;
use super::token::Fields;
use crate::application::ClientSecret;
use crate::state::State;
use crate::stats::Credential;
use crate::tokens::now;

/// What the fields of the form prove.
///
/// # Errors
/// Why they prove nothing.
pub(super) fn check(state: &State, asking: Asking<'_>, fields: &Fields) -> Result<Credential, Refusal> {
    check_names(state, asking, fields)?;
    let field = |name: &str| fields.get(name).map(String::as_str);
    match (field("client_assertion"), field("client_secret")) {
        (Some(token), _) if field("client_assertion_type") == Some(assertion::TYPE) => {
            assertion::check(state, asking, token)
        }
        (Some(_), _) => Err(missing("client_assertion_type")),
        (None, Some(secret)) => by_secret(&state.registered().secrets, asking, secret),
        (None, None) => Err(Refusal::client(
            7_000_218,
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        )),
    }
}

fn check_names(state: &State, asking: Asking<'_>, fields: &Fields) -> Result<(), Refusal> {
    let Asking { tenant, client_id, .. } = asking;
    let directory = &state.directory;
    if !tenant.eq_ignore_ascii_case(&directory.tenant_id) {
        Err(no_tenant(tenant))
    } else if fields.get("grant_type").is_none_or(|grant| grant != "client_credentials") {
        Err(Refusal::new(400, "unsupported_grant_type", 70_003, "The grant type is not supported."))
    } else if !client_id.eq_ignore_ascii_case(&directory.client_id) {
        let text =
            format!("Application with identifier '{client_id}' was not found in the directory '{tenant}'.");
        Err(Refusal::new(400, "unauthorized_client", 700_016, text))
    } else {
        Ok(())
    }
}

/// A name that could be one of a tenant, or one that could not.
fn no_tenant(tenant: &str) -> Refusal {
    let is_guid = tenant.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    match is_guid || tenant.contains('.') {
        true => Refusal::request(
            90_002,
            format!("Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID."),
        ),
        false => Refusal::request(
            900_023,
            format!(
                "Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain."
            ),
        ),
    }
}

fn by_secret(secrets: &[ClientSecret], asking: Asking<'_>, given: &str) -> Result<Credential, Refusal> {
    let app = asking.client_id;
    let Some(known) = secrets.iter().find(|known| known.value == given) else {
        return Err(Refusal::client(7_000_215, "Invalid client secret is provided."));
    };
    match known.expires.is_some_and(|end| end <= now()) {
        false => Ok(Credential::Secret),
        true => Err(Refusal::client(
            7_000_222,
            format!("The provided client secret keys for app '{app}' are expired."),
        )),
    }
}

fn missing(name: &str) -> Refusal {
    Refusal::request(900_144, format!("The request body must contain the following parameter: '{name}'."))
}
