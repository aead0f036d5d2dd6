//! Lists of keys and of versions, a page at a time (`KeyListResult` of the API reference).

use serde_json::{Value, json};

use super::bundle::item;
use super::errors::not_found;
use super::request::RequestContext;
use crate::keys::NamedVersion;
use crate::response::VaultError;

/// Returns a page of the keys, by name.
///
/// # Errors
/// The page size is out of range.
pub(super) fn list_keys(context: RequestContext<'_>) -> Result<Value, VaultError> {
    let newest = context.state.keys().newest();
    let url = |found: &NamedVersion| context.vault.key_url(&found.name);
    page(context, "keys", newest.iter().map(|found| item(context, &url(found), found)).collect())
}

/// Returns a page of the key's versions, by identifier as with the real service, not by age.
///
/// # Errors
/// There is no such key, or the page size is out of range.
pub(super) fn list_versions(context: RequestContext<'_>, key: &str) -> Result<Value, VaultError> {
    let mut versions = context.state.keys().versions(key);
    versions.sort_by(|a, b| a.version.version.cmp(&b.version.version));
    let name = &versions.first().ok_or_else(|| not_found(key))?.name;
    let url = |found: &NamedVersion| context.vault.kid(&found.name, &found.version.version);
    let items = versions.iter().map(|found| item(context, &url(found), found)).collect();
    page(context, &format!("keys/{name}/versions"), items)
}

/// Returns the page that the query asks for. The link to the next one has the port, as with the real service.
///
/// # Errors
/// The page size is out of range.
fn page(context: RequestContext<'_>, path: &str, items: Vec<Value>) -> Result<Value, VaultError> {
    let page = context.query.page()?;
    let (size, next) = (page.size, page.skip.saturating_add(page.size));
    let (host, version) = (context.vault.host(), context.query.api_version);
    let link =
        || format!("https://{host}:443/{path}?api-version={version}&$skiptoken={next}&maxresults={size}");
    let link = (next < items.len()).then(link);
    let shown: Vec<Value> = items.into_iter().skip(page.skip).take(size).collect();
    Ok(json!({ "value": shown, "nextLink": link }))
}
