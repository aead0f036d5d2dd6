//! What principals may do.

use std::collections::{BTreeMap, BTreeSet};

/// What each principal (client id) may do: `get`, `list`, `create`, `update`, `rotate`, `encrypt`, `decrypt`,
/// `wrapKey`, `unwrapKey`.
pub type Permissions = BTreeMap<String, BTreeSet<String>>;

const OPERATIONS: [&str; 9] =
    ["get", "list", "create", "update", "rotate", "encrypt", "decrypt", "wrapKey", "unwrapKey"];

/// # Errors
/// The operation that does not exist, and those that do.
pub(crate) fn check(permissions: &Permissions) -> Result<(), String> {
    let unknown = permissions.values().flatten().find(|name| !OPERATIONS.contains(&name.as_str()));
    match unknown {
        None => Ok(()),
        Some(name) => {
            Err(format!("{name:?} is not an operation; those that exist are {}", OPERATIONS.join(", ")))
        }
    }
}
