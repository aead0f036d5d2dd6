//! kube-apiserver's EncryptionConfiguration as far as it concerns KMS plugins, read as strictly as kube-apiserver does.
//!
//! The file may hold keys of other providers. No error repeats anything of it but names of fields and the values of kms.

use serde_json::{Map, Value};

/// The lists of providers, one for each group of resources.
pub(super) struct Document(pub(super) Vec<Vec<Provider>>);

/// A provider in a list.
pub(super) enum Provider {
    /// A KMS plugin.
    Kms(Kms),
    /// The one that does not encrypt.
    Identity,
    /// One with its keys in the file: its name.
    Local(String),
}

/// A `kms` provider; absent fields are `None` or empty.
#[derive(Clone, Default)]
pub(super) struct Kms {
    pub(super) api_version: Option<String>,
    pub(super) name: String,
    pub(super) endpoint: String,
    pub(super) timeout: Option<String>,
    pub(super) cache_size: Option<i64>,
}

impl Document {
    /// Reads the text of such a file, YAML or JSON.
    ///
    /// # Errors
    /// kube-apiserver would not take it: names line and column, or the field.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_saphyr::from_str(text).map_err(|error| {
            let at = error.location().map_or((1, 1), |at| (at.line(), at.column()));
            format!("line {}, column {}: is not YAML, or a field stands there twice", at.0, at.1)
        })?;
        let top = fields("", &value, &["kind", "apiVersion", "resources"])?;
        expect(top, "kind", "EncryptionConfiguration")?;
        expect(top, "apiVersion", "apiserver.config.k8s.io/v1")?;
        let resources = list("resources", top.get("resources"))?;
        let lists =
            resources.iter().enumerate().map(|(at, entry)| providers(&format!("resources[{at}]"), entry));
        Ok(Self(lists.collect::<Result<_, _>>()?))
    }

    /// Returns every kms provider.
    pub(super) fn all_kms(&self) -> impl Iterator<Item = &Kms> {
        self.0.iter().flatten().filter_map(Provider::kms)
    }
}

impl Provider {
    /// Returns the kms provider, if it is one.
    pub(super) fn kms(&self) -> Option<&Kms> {
        match self {
            Self::Kms(kms) => Some(kms),
            _ => None,
        }
    }
}

/// Reads the providers of an entry of `resources`.
///
/// # Errors
/// A field is unknown, a list is absent or empty, or a provider is wrong: the place in the file.
fn providers(at: &str, entry: &Value) -> Result<Vec<Provider>, String> {
    let entry = fields(at, entry, &["resources", "providers"])?;
    list(&format!("{at}.resources"), entry.get("resources"))?;
    let at = format!("{at}.providers");
    let providers = list(&at, entry.get("providers"))?;
    providers
        .iter()
        .enumerate()
        .map(|(index, provider)| parse_provider(&format!("{at}[{index}]"), provider))
        .collect()
}

/// Reads one provider.
///
/// # Errors
/// It does not have exactly one field, the field is unknown, or its kms provider is wrong.
fn parse_provider(at: &str, provider: &Value) -> Result<Provider, String> {
    let known = ["aesgcm", "aescbc", "secretbox", "identity", "kms"];
    let provider = fields(at, provider, &known)?;
    let mut named = provider.iter();
    match (named.next(), named.next()) {
        (Some((name, value)), None) if name == "kms" => kms(&format!("{at}.kms"), value).map(Provider::Kms),
        (Some((name, _)), None) if name == "identity" => Ok(Provider::Identity),
        (Some((name, _)), None) => Ok(Provider::Local(name.clone())),
        _ => Err(format!("{at}: must be exactly one of {}", known.join(", "))),
    }
}

/// Reads the fields of a kms provider.
///
/// # Errors
/// A field is unknown, not a string, or, for `cachesize`, not a whole number.
fn kms(at: &str, value: &Value) -> Result<Kms, String> {
    let found = fields(at, value, &["apiVersion", "name", "endpoint", "timeout", "cachesize"])?;
    let text = |field: &str| match found.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("{at}.{field}: must be a string")),
    };
    let cache_size = match found.get("cachesize") {
        None | Some(Value::Null) => None,
        Some(size) => Some(size.as_i64().ok_or(format!("{at}.cachesize: must be a whole number"))?),
    };
    Ok(Kms {
        api_version: text("apiVersion")?,
        name: text("name")?.unwrap_or_default(),
        endpoint: text("endpoint")?.unwrap_or_default(),
        timeout: text("timeout")?,
        cache_size,
    })
}

/// Returns the fields of an object.
///
/// # Errors
/// It is no object, or has other fields than the known ones.
fn fields<'a>(at: &str, value: &'a Value, known: &[&str]) -> Result<&'a Map<String, Value>, String> {
    let at = if at.is_empty() { "the file" } else { at };
    let found = value.as_object().ok_or(format!("{at}: must be an object with {}", known.join(", ")))?;
    match found.keys().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => Err(format!("{at}: there is no field {unknown:?}; there are {}", known.join(", "))),
        None => Ok(found),
    }
}

/// Reads a list.
///
/// # Errors
/// The value is absent, not a list, or an empty one.
fn list<'a>(at: &str, value: Option<&'a Value>) -> Result<&'a Vec<Value>, String> {
    let list = value.and_then(Value::as_array).filter(|list| !list.is_empty());
    list.ok_or(format!("{at}: must be a list that is not empty"))
}

/// Checks that a field has that text.
///
/// # Errors
/// It is absent, or has another value.
fn expect(found: &Map<String, Value>, field: &str, value: &str) -> Result<(), String> {
    if found.get(field).and_then(Value::as_str) == Some(value) {
        Ok(())
    } else {
        Err(format!("{field} must be {value}"))
    }
}
