//! Everything that touches the Azure SDK: HTTP transport, tokens, and the vault.
//!
//! Used by `app` to build what the actors own. Nothing of the SDK's types leaves this folder.

mod assertion;
mod cause;
mod hints;
mod issuer;
mod proxy_mode;
mod published;
mod reach;
mod tokens;
mod transport;
mod vault;

pub(crate) use reach::{Unreached, presented, reach_entra, reach_imds, reach_vault};
pub(crate) use tokens::{AzureTokens, TokenSource, no_answer};
pub(crate) use transport::can_connect;
pub(crate) use vault::AzureVault;

/// The scope (OAuth 2.0) that stands for a resource.
fn scope_of(resource: &str) -> String {
    format!("{resource}/.default")
}
