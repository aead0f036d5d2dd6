//! The operations on keys.

use std::collections::BTreeMap;

use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::bundle::{bundle, item, kid};
use crate::faults::Service;
use crate::reply::VaultError;
use crate::tokens::now;
use crate::world::{ALL_OPERATIONS, KeyPatch, VAULT_HOST, Version, World};

/// One call, as its method and path say.
pub(super) enum Call {
    ListKeys,
    Get(String, Option<String>),
    ListVersions(String),
    Create(String),
    Update(String, Option<String>),
    Rotate(String),
    Crypto(&'static str, String, Option<String>),
}

/// The crypto operations: as in URLs, in lower case, and as in `key_ops`.
const CRYPTO: [(&str, &str); 4] =
    [("encrypt", "encrypt"), ("decrypt", "decrypt"), ("wrapkey", "wrapKey"), ("unwrapkey", "unwrapKey")];

fn crypto(segment: &str) -> Option<&'static str> {
    CRYPTO.into_iter().find(|(url, _)| url.eq_ignore_ascii_case(segment)).map(|(_, operation)| operation)
}

fn is_version(segment: &str) -> bool {
    segment.len() == 32 && segment.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Call {
    /// Reads a path as liberally as the real service: any case, doubled and trailing slashes.
    pub(super) fn route(method: &Method, path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let (first, rest) = segments.split_first()?;
        if !first.eq_ignore_ascii_case("keys") {
            return None;
        }
        let is = |segment: &str, name: &str| segment.eq_ignore_ascii_case(name);
        match (method.as_str(), rest) {
            ("GET", []) => Some(Self::ListKeys),
            ("GET", [key]) => Some(Self::Get((*key).into(), None)),
            ("GET", [key, versions]) if is(versions, "versions") => Some(Self::ListVersions((*key).into())),
            ("GET", [key, version]) if is_version(version) => {
                Some(Self::Get((*key).into(), Some((*version).into())))
            }
            ("POST", [key, create]) if is(create, "create") => Some(Self::Create((*key).into())),
            ("POST", [key, rotate]) if is(rotate, "rotate") => Some(Self::Rotate((*key).into())),
            ("POST", [key, operation]) => Some(Self::Crypto(crypto(operation)?, (*key).into(), None)),
            ("POST", [key, version, operation]) if is_version(version) => {
                Some(Self::Crypto(crypto(operation)?, (*key).into(), Some((*version).into())))
            }
            ("PATCH", [key]) => Some(Self::Update((*key).into(), None)),
            ("PATCH", [key, version]) if is_version(version) => {
                Some(Self::Update((*key).into(), Some((*version).into())))
            }
            _ => None,
        }
    }

    /// The permission it needs, and the name it is counted by.
    pub(super) fn operation(&self) -> &'static str {
        match self {
            Self::ListKeys | Self::ListVersions(_) => "list",
            Self::Get(..) => "get",
            Self::Create(_) => "create",
            Self::Update(..) => "update",
            Self::Rotate(_) => "rotate",
            Self::Crypto(operation, ..) => operation,
        }
    }

    pub(super) fn key(&self) -> &str {
        match self {
            Self::ListKeys => "",
            Self::Get(key, _) | Self::ListVersions(key) | Self::Create(key) | Self::Update(key, _) => key,
            Self::Rotate(key) | Self::Crypto(_, key, _) => key,
        }
    }

    pub(super) fn perform(
        self,
        world: &World,
        api_version: &str,
        query: Option<&str>,
        body: &[u8],
    ) -> Result<Value, VaultError> {
        match self {
            Self::ListKeys => Ok(list_keys(world, api_version)),
            Self::Get(key, version) => bundle(&key, &find(world, &key, version.as_deref())?, api_version),
            Self::ListVersions(key) => list_versions(world, &key, api_version, query),
            Self::Create(key) => create(world, &key, api_version, body),
            Self::Update(key, version) => update(world, &key, version.as_deref(), api_version, body),
            Self::Rotate(key) => {
                find(world, &key, None)?;
                world.rotate(&key).map_err(internal)?;
                bundle(&key, &find(world, &key, None)?, api_version)
            }
            Self::Crypto(operation, key, version) => {
                perform_crypto(world, operation, &key, version.as_deref(), body)
            }
        }
    }
}

fn internal(error: crate::Error) -> VaultError {
    VaultError::new(500, "InternalServerError", error.to_string())
}

fn find(world: &World, key: &str, version: Option<&str>) -> Result<Version, VaultError> {
    world.find(key, version).ok_or_else(|| {
        VaultError::new(
            404,
            "KeyNotFound",
            format!(
                "A key with (name/id) {key} was not found in this key vault. If you recently deleted this key you may \
                 be able to recover it using the correct recovery command. For help resolving this issue, please see \
                 https://go.microsoft.com/fwlink/?linkid=2125182"
            ),
        )
    })
}

fn list_keys(world: &World, api_version: &str) -> Value {
    let newest = |key: &String| world.find(key, None);
    let line = |key: String| {
        let version = newest(&key)?;
        let mut line = item(&key, &version, api_version);
        line["kid"] = json!(format!("https://{VAULT_HOST}/keys/{key}"));
        Some(line)
    };
    let lines: Vec<Value> = world.names().into_iter().filter_map(line).collect();
    json!({ "value": lines, "nextLink": null })
}

fn list_versions(
    world: &World,
    key: &str,
    api_version: &str,
    query: Option<&str>,
) -> Result<Value, VaultError> {
    let parameter = |name: &str| {
        query
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, v)| v)
    };
    let size = parameter("maxresults").map_or(Ok(25), str::parse::<usize>).unwrap_or(0);
    if !(1..=25).contains(&size) {
        return Err(VaultError::bad_parameter("maxresults must be between 1 and 25.\r\n"));
    }
    let skip = parameter("$skiptoken").or_else(|| parameter("%24skiptoken"));
    let skip: usize = skip.and_then(|token| token.parse().ok()).unwrap_or(0);
    let versions = world.versions(key).ok_or_else(|| VaultError::new(404, "KeyNotFound", "not found"))?;
    let page: Vec<Value> = versions.iter().skip(skip).take(size).map(|v| item(key, v, api_version)).collect();
    let next = skip + page.len();
    let link = (next < versions.len()).then(|| {
        format!(
            "https://{VAULT_HOST}:443/keys/{key}/versions?api-version={api_version}&$skiptoken={next}&maxresults={size}"
        )
    });
    Ok(json!({ "value": page, "nextLink": link }))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Attributes {
    enabled: Option<bool>,
    nbf: Option<u64>,
    exp: Option<u64>,
}

impl From<Attributes> for KeyPatch {
    fn from(Attributes { enabled, nbf, exp }: Attributes) -> Self {
        Self { enabled, nbf, exp }
    }
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

fn read<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, VaultError> {
    serde_json::from_slice(body)
        .map_err(|_| VaultError::bad_parameter("The request body is not valid JSON.\r\n"))
}

fn create(world: &World, key: &str, api_version: &str, body: &[u8]) -> Result<Value, VaultError> {
    let request: KeyRequest = read(body)?;
    let named = key.len() <= 127 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let bits = request.key_size.unwrap_or(2048);
    if !named || request.kty != "RSA" || !matches!(bits, 2048 | 3072 | 4096) {
        return Err(VaultError::bad_parameter("Property 'kty' or 'key_size' is not supported.\r\n"));
    }
    let operations = request.key_ops.unwrap_or_else(|| ALL_OPERATIONS.map(str::to_owned).to_vec());
    let tags = request.tags.unwrap_or_default();
    let made = world.create(key, bits, operations, &request.attributes.into(), tags).map_err(internal)?;
    bundle(key, &made, api_version)
}

fn update(
    world: &World,
    key: &str,
    version: Option<&str>,
    api_version: &str,
    body: &[u8],
) -> Result<Value, VaultError> {
    let request: KeyRequest = read(body)?;
    let version = find(world, key, version)?.version;
    world.update(key, &version, &request.attributes.into()).map_err(internal)?;
    let change = |kept: &mut Version| {
        kept.operations = request.key_ops.unwrap_or_else(|| kept.operations.clone());
        kept.tags = request.tags.unwrap_or_else(|| kept.tags.clone());
    };
    world.change(key, &version, change).map_err(internal)?;
    bundle(key, &find(world, key, Some(&version))?, api_version)
}

#[derive(Deserialize)]
struct CryptoRequest {
    alg: Option<String>,
    value: Option<String>,
}

fn perform_crypto(
    world: &World,
    operation: &str,
    key: &str,
    version: Option<&str>,
    body: &[u8],
) -> Result<Value, VaultError> {
    let request: CryptoRequest = read(body)?;
    let value = decode(request.value.as_deref())?;
    let algorithm =
        request.alg.ok_or_else(|| VaultError::bad_parameter("Property 'alg' is required.\r\n"))?;
    let version = find(world, key, version)?;
    check_usable(&version, operation)?;
    let rsa = version.rsa().map_err(internal)?;
    let result = match operation {
        "encrypt" | "wrapKey" => rsa.encrypt(&algorithm, &value),
        _ => rsa.decrypt(&algorithm, &value),
    };
    let result = result.ok_or_else(|| VaultError::bad_parameter("The parameter is incorrect.\r\n"))?;
    let named = match world.faults.of(Service::Vault).wrong_kid {
        false => version.version,
        true => version.version.chars().rev().collect(),
    };
    Ok(json!({ "kid": kid(key, &named), "value": URL_SAFE_NO_PAD.encode(result) }))
}

fn decode(value: Option<&str>) -> Result<Vec<u8>, VaultError> {
    let refused = || {
        VaultError::bad_parameter("Content of 'value' is not base64url.\r\nProperty 'value' is required.\r\n")
    };
    let value = value.ok_or_else(refused)?;
    URL_SAFE_NO_PAD.decode(value).or_else(|_| URL_SAFE.decode(value)).map_err(|_| refused())
}

/// A disabled key does nothing. Outside of nbf and exp only what makes new ciphertexts is refused. The texts for
/// both are by analogy: no recording of them is public.
fn check_usable(version: &Version, operation: &str) -> Result<(), VaultError> {
    if !version.operations.iter().any(|known| known == operation) {
        return Err(VaultError::forbidden(
            "KeyOperationForbidden",
            format!("Operation {operation} is not permitted on this key."),
        ));
    }
    if !version.enabled {
        let message = format!("Operation {operation} is not allowed on a disabled key.");
        return Err(VaultError::forbidden("KeyDisabled", message));
    }
    let makes_new = matches!(operation, "encrypt" | "wrapKey");
    if makes_new && version.nbf.is_some_and(|nbf| now() < nbf) {
        let message = format!("Operation {operation} is not allowed on a key that is not yet valid.");
        return Err(VaultError::forbidden("KeyNotYetValid", message));
    }
    if makes_new && version.exp.is_some_and(|exp| now() >= exp) {
        let message = format!("Operation {operation} is not allowed on an expired key.");
        return Err(VaultError::forbidden("KeyExpired", message));
    }
    Ok(())
}
