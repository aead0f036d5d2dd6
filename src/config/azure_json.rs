//! The fields of the cluster's `azure.json`, JSON or YAML.
//!
//! No error repeats anything of the file but names of fields: values may be secrets.

use std::cell::Cell;
use std::fmt;
use std::path::Path;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use zeroize::{Zeroize, Zeroizing};

use super::files;

/// The fields that matter here; absent ones are empty.
#[derive(Default)]
pub(super) struct Fields {
    pub(super) cloud: String,
    pub(super) tenant_id: String,
    pub(super) client_id: String,
    pub(super) client_secret: Zeroizing<String>,
    pub(super) certificate_path: String,
    pub(super) certificate_password: Zeroizing<String>,
    pub(super) use_managed_identity: Truth,
    pub(super) user_assigned_identity: String,
    pub(super) user_assigned_object_id: String,
    pub(super) use_workload_identity: Truth,
    pub(super) federated_token_file: String,
    pub(super) data_plane_identity_path: String,
}

impl Fields {
    /// Reads the file.
    ///
    /// # Errors
    /// The file cannot be read, or [`Fields::parse`] refuses it: a sentence without the file's name.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        Self::parse(&files::read(path)?)
    }

    /// Reads the content of such a file.
    ///
    /// # Errors
    /// It is neither JSON nor YAML, or a field has the wrong type or stands there twice: names line, column and field.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|_| "is not UTF-8")?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let failed = Cell::new(None);
        let (format, parsed) = if text.trim_start().starts_with('{') {
            ("JSON", from_json(text, &failed))
        } else {
            ("YAML", from_yaml(text, &failed))
        };
        parsed.map_err(|(line, column)| match failed.get() {
            Some((field, problem)) => format!("line {line}, column {column}: the field {field} {problem}"),
            None => format!("line {line}, column {column}: is not valid {format}"),
        })
    }

    /// Reads the value of one field.
    ///
    /// # Errors
    /// It has the wrong type.
    fn read<'de, A: MapAccess<'de>>(&mut self, name: &'static str, map: &mut A) -> Result<(), A::Error> {
        let target = match name {
            CLOUD => &mut self.cloud,
            TENANT => &mut self.tenant_id,
            CLIENT => &mut self.client_id,
            SECRET => &mut self.client_secret,
            CERTIFICATE => &mut self.certificate_path,
            PASSWORD => return read_password(&mut self.certificate_password, map),
            USER_ASSIGNED => &mut self.user_assigned_identity,
            OBJECT_ID => &mut self.user_assigned_object_id,
            TOKEN_FILE => &mut self.federated_token_file,
            DATA_PLANE => &mut self.data_plane_identity_path,
            MANAGED => return self.use_managed_identity.read(map),
            WORKLOAD => return self.use_workload_identity.read(map),
            _ => return map.next_value::<IgnoredAny>().map(drop),
        };
        let mut value = map.next_value::<Option<String>>()?.unwrap_or_default();
        value.trim().clone_into(target);
        value.zeroize(); // it may be the secret
        Ok(())
    }
}

/// Reads a password as it stands: it may begin or end with white space.
///
/// # Errors
/// It is not a string.
fn read_password<'de, A: MapAccess<'de>>(
    target: &mut Zeroizing<String>,
    map: &mut A,
) -> Result<(), A::Error> {
    *target = Zeroizing::new(map.next_value::<Option<String>>()?.unwrap_or_default());
    Ok(())
}

pub(super) const CLOUD: &str = "cloud";
pub(super) const TENANT: &str = "tenantId";
pub(super) const CLIENT: &str = "aadClientId";
pub(super) const SECRET: &str = "aadClientSecret";
pub(super) const CERTIFICATE: &str = "aadClientCertPath";
pub(super) const PASSWORD: &str = "aadClientCertPassword";
pub(super) const MANAGED: &str = "useManagedIdentityExtension";
pub(super) const USER_ASSIGNED: &str = "userAssignedIdentityID";
/// This plugin's own: other readers of the file know client ids and resource ids only.
pub(super) const OBJECT_ID: &str = "userAssignedIdentityObjectID";
pub(super) const WORKLOAD: &str = "useFederatedWorkloadIdentityExtension";
pub(super) const TOKEN_FILE: &str = "aadFederatedTokenFile";
pub(super) const DATA_PLANE: &str = "aadMSIDataPlaneIdentityPath";
const FIELDS: [&str; 12] = [
    CLOUD,
    TENANT,
    CLIENT,
    SECRET,
    CERTIFICATE,
    PASSWORD,
    MANAGED,
    USER_ASSIGNED,
    OBJECT_ID,
    WORKLOAD,
    TOKEN_FILE,
    DATA_PLANE,
];

/// A truth value, with or without quotes around it.
#[derive(Clone, Copy, Default)]
pub(super) struct Truth(pub(super) bool);

impl Truth {
    /// Reads the current field's value.
    ///
    /// # Errors
    /// The value is not a boolean, with or without quotes, and neither empty nor null.
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

/// The field that failed, and why: kept apart from the parsers' errors, which repeat values.
type Failed = Cell<Option<(&'static str, &'static str)>>;

/// A reader of the top level, with names in any letter case; other fields are ignored.
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

/// The line and column where a parser stopped, from 1.
type Position = (u64, u64);

/// Parses JSON, and notes in `failed` which field was wrong.
///
/// # Errors
/// The text is not JSON, or the value of a field is wrong: the position where the parser stopped.
fn from_json(text: &str, failed: &Failed) -> Result<Fields, Position> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let fields = FieldsSeed(failed).deserialize(&mut deserializer);
    let fields = fields.and_then(|fields| deserializer.end().map(|()| fields));
    fields.map_err(|error| (error.line() as u64, error.column() as u64))
}

/// Parses YAML, and notes in `failed` which field was wrong.
///
/// # Errors
/// The text is not YAML, or the value of a field is wrong: the position where the parser stopped.
fn from_yaml(text: &str, failed: &Failed) -> Result<Fields, Position> {
    let fields = serde_saphyr::with_deserializer_from_str(text, |deserializer| {
        FieldsSeed(failed).deserialize(deserializer)
    });
    fields.map_err(|error| error.location().map_or((1, 1), |at| (at.line(), at.column())))
}
