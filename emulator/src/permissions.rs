//! What principals may do.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What each principal (client id) may do: `get`, `list`, `create`, `update`, `rotate`, `encrypt`, `decrypt`,
/// `wrapKey`, `unwrapKey`.
pub type Permissions = BTreeMap<String, BTreeSet<String>>;

/// By what vaults decide who may do what, and so what they say to who may not. Managed HSMs have roles only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PermissionModel {
    /// Roles: `ForbiddenByRbac`.
    #[default]
    Rbac,
    /// Access policies: `AccessDenied`.
    AccessPolicy,
}

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
