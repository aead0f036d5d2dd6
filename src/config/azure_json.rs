//! The cluster's `azure.json`, JSON or YAML: which credential to use.
//!
//! Never repeats anything of the file but names of fields: values may be secrets.

use std::cell::Cell;
use std::fmt;
use std::path::Path;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use zeroize::{Zeroize, Zeroizing};

use super::Secret;

/// Larger files are refused; real ones have a few kilobytes.
const LARGEST: u64 = 1024 * 1024;
/// The authority of the public cloud.
const PUBLIC_AUTHORITY: &str = "login.microsoftonline.com";
/// What AKS writes in place of an id and a secret when the cluster uses a managed identity.
const PLACEHOLDER: &str = "msi";

/// How to authenticate.
#[derive(Clone, Debug)]
pub(crate) enum CredentialConfig {
    /// A service principal with a secret.
    ClientSecret {
        /// Host of Entra ID.
        authority_host: String,
        /// The tenant.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// Its secret.
        secret: Secret,
    },
    /// A managed identity, through IMDS.
    ManagedIdentity(ManagedIdentity),
}

impl CredentialConfig {
    /// The host of Entra ID. A managed identity's own tokens come from IMDS instead.
    pub(super) fn authority_host(&self) -> &str {
        match self {
            Self::ClientSecret { authority_host, .. } => authority_host,
            Self::ManagedIdentity(_) => PUBLIC_AUTHORITY,
        }
    }
}

/// Which managed identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ManagedIdentity {
    /// That of the machine.
    SystemAssigned,
    /// The one of that client id.
    ClientId(String),
    /// The one of that resource id.
    ResourceId(String),
}

/// Reads and checks the file.
pub(super) fn load(path: &Path) -> Result<CredentialConfig, Vec<String>> {
    let named = |problem: String| format!("--config-file-path {}: {problem}", path.display());
    let text = read(path).map_err(|problem| vec![named(problem)])?;
    let fields = Fields::parse(&text).map_err(|problem| vec![named(problem)])?;
    credential(&fields).map_err(|problems| problems.into_iter().map(named).collect())
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("is not a file".into());
    }
    if metadata.len() > LARGEST {
        return Err(format!("has {} bytes; the limit is {LARGEST}", metadata.len()));
    }
    std::fs::read(path).map(Zeroizing::new).map_err(|error| error.to_string())
}

/// The fields that matter, by their documented names.
#[derive(Default)]
struct Fields {
    cloud: String,
    tenant_id: String,
    client_id: String,
    client_secret: Zeroizing<String>,
    use_managed_identity: Truth,
    use_workload_identity: Truth,
    user_assigned_identity: String,
    certificate_path: String,
}

impl Fields {
    fn parse(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|_| "is not UTF-8")?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let failed = Cell::new(None);
        let (format, parsed) = match text.trim_start().starts_with('{') {
            true => ("JSON", from_json(text, &failed)),
            false => ("YAML", from_yaml(text, &failed)),
        };
        parsed.map_err(|(line, column)| match failed.get() {
            Some((field, problem)) => format!("line {line}, column {column}: the field {field} {problem}"),
            None => format!("line {line}, column {column}: is not valid {format}"),
        })
    }

    /// Takes the value of one field.
    fn read<'de, A: MapAccess<'de>>(&mut self, name: &'static str, map: &mut A) -> Result<(), A::Error> {
        let target = match name {
            CLOUD => &mut self.cloud,
            TENANT => &mut self.tenant_id,
            CLIENT => &mut self.client_id,
            SECRET => &mut self.client_secret,
            USER_ASSIGNED => &mut self.user_assigned_identity,
            CERTIFICATE => &mut self.certificate_path,
            MANAGED => return self.use_managed_identity.read(map),
            _ => return self.use_workload_identity.read(map),
        };
        let mut value = map.next_value::<Option<String>>()?.unwrap_or_default();
        value.trim().clone_into(target);
        value.zeroize(); // it may be the secret
        Ok(())
    }
}

const CLOUD: &str = "cloud";
const TENANT: &str = "tenantId";
const CLIENT: &str = "aadClientId";
const SECRET: &str = "aadClientSecret";
const MANAGED: &str = "useManagedIdentityExtension";
const USER_ASSIGNED: &str = "userAssignedIdentityID";
const CERTIFICATE: &str = "aadClientCertPath";
const WORKLOAD: &str = "useFederatedWorkloadIdentityExtension";
const FIELDS: [&str; 8] = [CLOUD, TENANT, CLIENT, SECRET, MANAGED, USER_ASSIGNED, CERTIFICATE, WORKLOAD];

/// A truth value, also when somebody put it in quotes.
#[derive(Default)]
struct Truth(bool);

impl Truth {
    fn read<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        *self = map.next_value()?;
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Truth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Spelling {
            Plain(bool),
            Quoted(String),
            Absent(()),
        }
        match Spelling::deserialize(deserializer)? {
            Spelling::Plain(truth) => Ok(Self(truth)),
            Spelling::Absent(()) => Ok(Self(false)),
            Spelling::Quoted(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" => Ok(Self(true)),
                "" | "false" => Ok(Self(false)),
                _ => Err(D::Error::custom("neither true nor false")),
            },
        }
    }
}

/// Why and where the field failed: kept apart from the parsers' errors, which repeat values.
type Failed = Cell<Option<(&'static str, &'static str)>>;

/// Reads the top level with names in any letter case; other fields are ignored.
struct FieldsSeed<'a>(&'a Failed);

impl<'de> DeserializeSeed<'de> for FieldsSeed<'_> {
    type Value = Fields;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Fields, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FieldsSeed<'_> {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let (mut fields, mut seen) = (Fields::default(), Vec::new());
        while let Some(name) = map.next_key::<String>()? {
            let Some(known) = FIELDS.into_iter().find(|known| known.eq_ignore_ascii_case(&name)) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if seen.contains(&known) {
                self.0.set(Some((known, "stands there twice; names differ in letter case only")));
                return Err(A::Error::custom("twice"));
            }
            seen.push(known);
            fields
                .read(known, &mut map)
                .inspect_err(|_| self.0.set(Some((known, "has a value of the wrong type"))))?;
        }
        Ok(fields)
    }
}

/// Where a parser stopped: line and column, from 1.
type Position = (u64, u64);

fn from_json(text: &str, failed: &Failed) -> Result<Fields, Position> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let fields = FieldsSeed(failed).deserialize(&mut deserializer);
    let fields = fields.and_then(|fields| deserializer.end().map(|()| fields));
    fields.map_err(|error| (error.line() as u64, error.column() as u64))
}

fn from_yaml(text: &str, failed: &Failed) -> Result<Fields, Position> {
    let fields = serde_saphyr::with_deserializer_from_str(text, |deserializer| {
        FieldsSeed(failed).deserialize(deserializer)
    });
    fields.map_err(|error| error.location().map_or((1, 1), |at| (at.line(), at.column())))
}

/// The Go plugin's order: managed identity, then id and secret, then certificate.
fn credential(fields: &Fields) -> Result<CredentialConfig, Vec<String>> {
    let mut problems = Vec::new();
    if !matches!(fields.cloud.to_ascii_lowercase().as_str(), "" | "azurepubliccloud" | "azurecloud") {
        problems.push(format!("the field {CLOUD}: only AzurePublicCloud is supported yet"));
    }
    if fields.use_workload_identity.0 {
        problems.push(format!(
            "the field {WORKLOAD}: workload identity is not supported yet; use {MANAGED}, or {CLIENT} and {SECRET}"
        ));
    }
    let credential = if fields.use_managed_identity.0 {
        Ok(CredentialConfig::ManagedIdentity(managed_identity(&fields.user_assigned_identity)))
    } else if !fields.client_id.is_empty() && !fields.client_secret.is_empty() {
        service_principal(fields)
    } else if !fields.certificate_path.is_empty() {
        Err(format!(
            "the field {CERTIFICATE}: client certificates are not supported yet; use {SECRET} or {MANAGED}"
        ))
    } else {
        Err(format!("holds no credential: set {MANAGED} to true, or {CLIENT} and {SECRET}"))
    };
    match credential {
        Ok(credential) if problems.is_empty() => Ok(credential),
        Ok(_) => Err(problems),
        Err(problem) => {
            problems.push(problem);
            Err(problems)
        }
    }
}

fn managed_identity(id: &str) -> ManagedIdentity {
    match id {
        "" => ManagedIdentity::SystemAssigned,
        id if id.to_ascii_lowercase().contains("/subscriptions/") => {
            ManagedIdentity::ResourceId(id.to_owned())
        }
        id => ManagedIdentity::ClientId(id.to_owned()),
    }
}

fn service_principal(fields: &Fields) -> Result<CredentialConfig, String> {
    if fields.client_id == PLACEHOLDER || *fields.client_secret == PLACEHOLDER {
        return Err(format!(
            "{CLIENT} and {SECRET} hold the placeholder {PLACEHOLDER:?}, but {MANAGED} is not true"
        ));
    }
    let tenant = &fields.tenant_id;
    if tenant.is_empty()
        || !tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
    {
        return Err(format!("the field {TENANT} must be the id or a domain of the tenant"));
    }
    Ok(CredentialConfig::ClientSecret {
        authority_host: PUBLIC_AUTHORITY.into(),
        tenant_id: tenant.clone(),
        client_id: fields.client_id.clone(),
        secret: Secret::new(fields.client_secret.to_string()),
    })
}

#[cfg(test)]
mod tests;
