//! Everything that touches the Azure SDK: HTTP transport, credentials, and the vault.
//!
//! Used by `app` to build what the actors own. Nothing of the SDK's types leaves this folder.

mod cause;
mod credential;
mod transport;
mod vault;

pub(crate) use credential::{AzureTokens, TokenSource};
pub(crate) use vault::AzureVault;
