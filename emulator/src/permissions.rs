//! The permissions of principals, and the models by which vaults check them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Operations by the principal (client id) that may perform them: `get`, `list`, `create`, `update`, `rotate`,
/// `encrypt`, `decrypt`, `wrapKey`, `unwrapKey`.
pub type Permissions = BTreeMap<String, BTreeSet<String>>;

/// The model by which vaults check permissions, which decides the error of a missing one. Managed HSMs have roles only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PermissionModel {
    /// Roles; a missing permission is `ForbiddenByRbac`.
    #[default]
    Rbac,
    /// Access policies; a missing permission is `AccessDenied`.
    AccessPolicy,
}

/// Every operation that a permission can name.
const OPERATIONS: [&str; 9] =
    ["get", "list", "create", "update", "rotate", "encrypt", "decrypt", "wrapKey", "unwrapKey"];

/// Rejects unknown operations.
///
/// # Errors
/// Names the first operation that does not exist, and those that do.
pub(crate) fn check(permissions: &Permissions) -> Result<(), String> {
    let unknown = permissions.values().flatten().find(|name| !OPERATIONS.contains(&name.as_str()));
    match unknown {
        None => Ok(()),
        Some(name) => {
            Err(format!("{name:?} is not an operation; those that exist are {}", OPERATIONS.join(", ")))
        }
    }
}
