//! The operations on keys.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::asked::Asked;
use super::bundle::bundle;
use super::crypto::perform_crypto;
use super::lists::{list_keys, list_versions};
use super::query::Query;
use super::refusals::not_found;
use super::route::Call;
use crate::keys::{Change, Found, KeyPatch};
use crate::reply::VaultError;
use crate::state::State;

/// What every operation knows of the request beside its own part.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) state: &'a State,
    pub(super) vault: Asked,
    pub(super) query: Query<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Attributes {
    enabled: Option<bool>,
    nbf: Option<u64>,
    exp: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct KeyRequest {
    kty: String,
    key_size: Option<u64>,
    key_ops: Option<Vec<String>>,
    attributes: Attributes,
    tags: Option<BTreeMap<String, String>>,
}

impl KeyRequest {
    fn change(self) -> Change {
        let Attributes { enabled, nbf, exp } = self.attributes;
        let (operations, tags) = (self.key_ops, self.tags);
        Change { tags, ..KeyPatch { enabled, nbf, exp, operations, ..KeyPatch::default() }.into() }
    }
}

impl Ask<'_> {
    pub(super) fn perform(self, call: Call, body: &[u8]) -> Result<Value, VaultError> {
        match call {
            Call::ListKeys => list_keys(self),
            Call::ListVersions(key) => list_versions(self, &key),
            Call::Get(key, version) => bundle(self, &self.find(&key, version.as_deref())?),
            Call::Create(key) => self.create(&key, body),
            Call::Update(key, version) => self.update(&key, version.as_deref(), body),
            Call::Rotate(key) => self.changed(&key, self.state.rotate(&key)),
            Call::Crypto(operation, key, version) => {
                perform_crypto(self, operation, &key, version.as_deref(), body)
            }
        }
    }

    pub(super) fn find(self, key: &str, version: Option<&str>) -> Result<Found, VaultError> {
        self.state.keys().find(key, version).ok_or_else(|| not_found(key))
    }

    fn create(self, key: &str, body: &[u8]) -> Result<Value, VaultError> {
        let request: KeyRequest = read(body)?;
        let named = key.len() <= 127 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let bits = request.key_size.unwrap_or(2048);
        let rsa = ["RSA", self.vault.key_type()].contains(&request.kty.as_str());
        if !named || !rsa || !matches!(bits, 2048 | 3072 | 4096) {
            return Err(VaultError::bad_parameter("Property 'kty' or 'key_size' is not supported.\r\n"));
        }
        let made = self.state.create(key, bits, request.change()).map_err(VaultError::internal)?;
        bundle(self, &made)
    }

    fn update(self, key: &str, version: Option<&str>, body: &[u8]) -> Result<Value, VaultError> {
        let request: KeyRequest = read(body)?;
        self.changed(key, self.state.change(key, version, request.change()))
    }

    fn changed(self, key: &str, changed: Result<Option<Found>, crate::Error>) -> Result<Value, VaultError> {
        let found = changed.map_err(VaultError::internal)?;
        bundle(self, &found.ok_or_else(|| not_found(key))?)
    }
}

pub(super) fn read<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, VaultError> {
    serde_json::from_slice(body)
        .map_err(|_| VaultError::bad_parameter("The request body is not valid JSON.\r\n"))
}
