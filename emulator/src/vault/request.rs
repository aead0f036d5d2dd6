//! The parts of a request that every operation needs.

use serde::Deserialize;

use super::errors::not_found;
use super::host::VaultHost;
use super::query::Query;
use crate::keys::NamedVersion;
use crate::response::VaultError;
use crate::state::State;

/// The parts of a request that every operation needs, beside its path and body.
#[derive(Clone, Copy)]
pub(super) struct RequestContext<'a> {
    /// The state of the emulator.
    pub(super) state: &'a State,
    /// The vault that received it.
    pub(super) vault: VaultHost,
    /// The query of its URL.
    pub(super) query: Query<'a>,
}

impl RequestContext<'_> {
    /// Finds that version of the key, or the newest.
    ///
    /// # Errors
    /// A 404 when there is no such key or version.
    pub(super) fn find(self, key: &str, version: Option<&str>) -> Result<NamedVersion, VaultError> {
        self.state.keys().find(key, version).ok_or_else(|| not_found(key))
    }
}

/// Parses the JSON of a body.
///
/// # Errors
/// A 400 when it is not the JSON of `T`.
pub(super) fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, VaultError> {
    serde_json::from_slice(body)
        .map_err(|_| VaultError::bad_parameter("The request body is not valid JSON.\r\n"))
}
