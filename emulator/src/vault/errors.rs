//! Errors of Key Vault. Texts without a public recording are by analogy, and the doc comments say so.

use super::host::{REGION, VaultHost};
use crate::permissions::PermissionModel;
use crate::response::VaultError;
use crate::tokens::Claims;

/// Returns the error for a key or version that does not exist.
pub(super) fn not_found(key: &str) -> VaultError {
    let message = format!(
        "A key with (name/id) {key} was not found in this key vault. If you recently deleted this key you may \
         be able to recover it using the correct recovery command. For help resolving this issue, please see \
         https://go.microsoft.com/fwlink/?linkid=2125182"
    );
    VaultError::new(404, "KeyNotFound", message)
}

/// Returns the error for a caller without the permission to the operation.
pub(super) fn not_permitted(
    model: PermissionModel,
    vault: VaultHost,
    claims: &Claims,
    operation: &str,
    key: &str,
) -> VaultError {
    match model {
        PermissionModel::AccessPolicy if !vault.is_hsm() => forbidden_by_policy(claims, operation),
        _ => forbidden_by_rbac(vault, claims, operation, key),
    }
}

/// Returns the error of the access policies.
fn forbidden_by_policy(Claims { appid, oid, tid, .. }: &Claims, operation: &str) -> VaultError {
    let message = format!(
        "The user, group or application 'appid={appid};oid={oid};iss=https://sts.windows.net/{tid}/' does not have \
         keys {operation} permission on key vault 'emulator;location={REGION}'. For help resolving this issue, please \
         see https://go.microsoft.com/fwlink/?linkid=2125287"
    );
    VaultError::forbidden("AccessDenied", message)
}

/// Returns the error of the roles; that of a managed HSM is by analogy.
fn forbidden_by_rbac(vault: VaultHost, claims: &Claims, operation: &str, key: &str) -> VaultError {
    let Claims { appid, oid, tid, .. } = claims;
    let action = vault.rbac_action(operation);
    VaultError::forbidden(
        "ForbiddenByRbac",
        format!(
            "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or \
             role definitions were changed recently, please observe propagation time.\r\nCaller: appid={appid};\
             oid={oid};iss=https://sts.windows.net/{tid}/\r\nAction: '{action}'\r\n\
             Resource: '/subscriptions/emulator/vaults/emulator/keys/{key}'\r\nAssignment: (not found)\r\n\
             DenyAssignmentId: null\r\nDecisionReason: 'DeniedWithNoValidRBAC' \r\n\
             Vault: emulator;location={REGION}\r\n"
        ),
    )
}

/// Returns the error for a value or an algorithm that the operation does not accept.
pub(super) fn incorrect() -> VaultError {
    VaultError::bad_parameter("The parameter is incorrect.\r\n")
}

/// Returns the error with that status, for a request with that key.
pub(super) fn with_status(status: u16, key: &str) -> VaultError {
    let error = match status {
        403 => forbidden_by_firewall(),
        404 => not_found(key),
        409 => deleted(key),
        429 => VaultError::new(
            status,
            "Throttled",
            "Request was not processed because too many requests were received. \
             Reason: VaultRequestTypeLimitReached",
        ),
        500.. => VaultError::new(status, "InternalServerError", "An error was asked for.\r\n"),
        _ => incorrect(),
    };
    VaultError { status, ..error }
}

/// Returns the error of the firewall.
fn forbidden_by_firewall() -> VaultError {
    let message = format!(
        "Client address is not authorized and caller is not a trusted service.\r\n\
         Client address: 127.0.0.1\r\nVault: emulator;location={REGION}"
    );
    VaultError::forbidden("ForbiddenByFirewall", message)
}

/// Returns the error for a key that is deleted and can be recovered.
fn deleted(key: &str) -> VaultError {
    let message = format!(
        "Key {key} is currently in a deleted but recoverable state, and its name cannot be reused; in this state, \
         the key can only be recovered or purged."
    );
    let inner = Some("ObjectIsDeletedButRecoverable");
    VaultError { inner, ..VaultError::new(409, "Conflict", message) }
}
