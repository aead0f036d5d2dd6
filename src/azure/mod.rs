//! The clients of Azure, built on its SDK: HTTP transport, tokens, and the vault.
//!
//! `app` creates the clients, and the actors own them. No type of the SDK is visible outside of this folder.

mod aadsts;
mod assertion;
mod cause;
mod connectivity;
mod connector;
mod identity_transport;
mod proxy_mode;
mod published_credential;
mod resolver;
mod token_source;
mod transport;
mod vault;

pub(crate) use connectivity::{ReachError, presented_certificate, reach_entra, reach_imds, reach_vault};
pub(crate) use connector::Connector;
pub(crate) use token_source::AzureTokenSource;
pub(crate) use transport::check_client;
pub(crate) use vault::AzureVault;

/// Returns the OAuth 2.0 scope of all permissions on a resource.
fn scope_of(resource: &str) -> String {
    format!("{resource}/.default")
}
