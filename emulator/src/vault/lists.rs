//! Lists, a page at a time.

use serde_json::{Value, json};

use super::bundle::item;
use super::operations::Ask;
use super::refusals::not_found;
use crate::keys::Found;
use crate::reply::VaultError;

pub(super) fn list_keys(ask: Ask<'_>) -> Result<Value, VaultError> {
    let newest = ask.state.keys().newest();
    let url = |found: &Found| ask.vault.key(&found.name);
    page(ask, "keys", newest.iter().map(|found| item(ask, &url(found), found)).collect())
}

/// In the order of their ids: as with the real service, not of their making.
pub(super) fn list_versions(ask: Ask<'_>, key: &str) -> Result<Value, VaultError> {
    let mut versions = ask.state.keys().versions(key);
    versions.sort_by(|a, b| a.version.version.cmp(&b.version.version));
    let name = &versions.first().ok_or_else(|| not_found(key))?.name;
    let url = |found: &Found| ask.vault.kid(&found.name, &found.version.version);
    let lines = versions.iter().map(|found| item(ask, &url(found), found)).collect();
    page(ask, &format!("keys/{name}/versions"), lines)
}

/// One page; the link to the next one has the port, as with the real service.
fn page(ask: Ask<'_>, path: &str, lines: Vec<Value>) -> Result<Value, VaultError> {
    let page = ask.query.page()?;
    let (size, next) = (page.size, page.skip.saturating_add(page.size));
    let (host, version) = (ask.vault.host(), ask.query.api_version);
    let link =
        || format!("https://{host}:443/{path}?api-version={version}&$skiptoken={next}&maxresults={size}");
    let link = (next < lines.len()).then(link);
    let shown: Vec<Value> = lines.into_iter().skip(page.skip).take(size).collect();
    Ok(json!({ "value": shown, "nextLink": link }))
}
