//! The commands that fix a vault, a key or the rights on it.

use crate::config::{Access, CredentialConfig, KeyConfig, ManagedIdentity, Operations};
use crate::vault::{Failure, VaultError};

/// The fix for what may pass by itself.
pub(super) const TRY_AGAIN: &str =
    "try again; if it stays, look at https://status.azure.com and at proxies between";

/// The names that the commands need.
pub(super) struct Advice<'a> {
    key: &'a KeyConfig,
    access: &'a Access,
    is_managed_hsm: bool,
}

impl<'a> Advice<'a> {
    pub(super) fn new(key: &'a KeyConfig, access: &'a Access, is_managed_hsm: bool) -> Self {
        Self { key, access, is_managed_hsm }
    }

    /// Returns `az keyvault key {verb}` for the key version, followed by the rest.
    pub(super) fn key(&self, verb: &str, rest: &str) -> String {
        let KeyConfig { name, version, .. } = self.key;
        let version = if verb == "list-versions" { String::new() } else { format!(" --version {version}") };
        format!("az keyvault key {verb} {} --name {name}{version} {rest}", self.vault()).trim_end().to_owned()
    }

    fn vault(&self) -> String {
        let flag = if self.is_managed_hsm { "--hsm-name" } else { "--vault-name" };
        format!("{flag} {}", self.key.vault_name)
    }

    /// Returns the command that shows or changes the vault itself.
    pub(super) fn of_vault(&self, verb: &str, rest: &str) -> String {
        let flag = if self.is_managed_hsm { "--hsm-name" } else { "--name" };
        format!("az keyvault {verb} {flag} {} {rest}", self.key.vault_name)
    }

    /// Returns the operations of Key Vault that the daemon calls.
    pub(super) fn operations(&self) -> [&'static str; 2] {
        match self.key.operations {
            Operations::Encrypt => ["encrypt", "decrypt"],
            Operations::Wrap => ["wrapKey", "unwrapKey"],
        }
    }

    /// Returns the command that sets all operations: those that the key has, and those that are missing.
    pub(super) fn allow_operations(&self, there: &[String], missing: &[&str]) -> String {
        let all: Vec<&str> = there.iter().map(String::as_str).chain(missing.iter().copied()).collect();
        self.key("set-attributes", &format!("--ops {}", all.join(" ")))
    }

    /// Returns the command that creates another key.
    pub(super) fn new_key(&self) -> String {
        let kind = if self.is_managed_hsm { "RSA-HSM" } else { "RSA" };
        format!(
            "az keyvault key create {} --name NAME --kty {kind} --size 3072, and --key-name",
            self.vault()
        )
    }

    /// Returns the command that turns purge protection on.
    pub(super) fn protect(&self) -> String {
        let verb = if self.is_managed_hsm { "update-hsm" } else { "update" };
        self.of_vault(verb, "--enable-purge-protection true")
    }

    /// Returns the command that turns soft delete and purge protection on. `az keyvault update` has no flag for the first
    /// any more (Azure/azure-cli#23858). A managed HSM always has soft delete.
    pub(super) fn soft_delete(&self) -> String {
        if self.is_managed_hsm {
            return self.protect();
        }
        format!(
            "az resource update --ids \"$({})\" --set properties.enableSoftDelete=true \
             properties.enablePurgeProtection=true",
            self.id()
        )
    }

    /// Returns the command that prints the vault's resource id.
    fn id(&self) -> String {
        self.of_vault("show", "--query id --output tsv")
    }

    /// Returns the fix for that error of Key Vault.
    pub(super) fn for_error(&self, error: &VaultError) -> String {
        match (error.failure, error.code.as_deref().unwrap_or_default()) {
            (_, "ForbiddenByFirewall" | "ForbiddenByConnection") => self.firewall(),
            (_, "AccessDenied") if !self.is_managed_hsm => self.policy(),
            (Failure::OperationNotAllowed, _) => self.allow_operations(&[], &self.operations()),
            (Failure::Forbidden, _) => self.role(),
            (Failure::Unauthorized | Failure::WrongResource, _) => format!(
                "use a credential of the vault's tenant ({}), and check cloud in azure.json",
                self.of_vault("show", "--query properties.tenantId")
            ),
            (Failure::NotFound, _) => format!(
                "correct --key-name and --key-version ({}), or recover it: {}",
                self.key("list-versions", ""),
                format_args!("az keyvault key recover {} --name {}", self.vault(), self.key.name)
            ),
            (Failure::KeyUnusable, _) => self.key("show", "--query attributes"),
            (Failure::WrongKey, _) => self.key("list-versions", "--query [].kid"),
            (Failure::Throttled, _) => {
                "try again; others use up the vault's limits: lower --keyvault-qps".into()
            }
            (
                Failure::BadRequest
                | Failure::ServerError
                | Failure::Unreachable
                | Failure::TimedOut
                | Failure::Malformed
                | Failure::Unexpected
                | Failure::NoToken,
                _,
            ) => TRY_AGAIN.into(),
        }
    }

    fn firewall(&self) -> String {
        format!(
            "{} (or --ip-address ADDRESS of the node), or a private endpoint",
            self.of_vault("network-rule add", "--subnet SUBNET_ID")
        )
    }

    /// Returns the command that sets an access policy. It replaces all of an identity's key permissions. `get` is for
    /// preflight, which sees more with it.
    fn policy(&self) -> String {
        let permissions = self.operations().join(" ");
        let identity = match &self.access.credential {
            CredentialConfig::ServicePrincipal(principal) => format!("--spn {}", principal.client_id),
            CredentialConfig::ManagedIdentity(identity) => format!("--object-id {}", object_id(identity)),
        };
        format!(
            "{} (and what else it needs, since this replaces the key permissions it has: {})",
            self.of_vault("set-policy", &format!("{identity} --key-permissions get {permissions}")),
            self.of_vault("show", "--query properties.accessPolicies")
        )
    }

    fn role(&self) -> String {
        let assignee = match &self.access.credential {
            CredentialConfig::ServicePrincipal(principal) => principal.client_id.as_str(),
            CredentialConfig::ManagedIdentity(identity) => object_id(identity),
        };
        if self.is_managed_hsm {
            return format!(
                "az keyvault role assignment create --hsm-name {} --role \"Managed HSM Crypto User\" --assignee \
                 {assignee} --scope /keys/{}",
                self.key.vault_name, self.key.name
            );
        }
        let role = match self.key.operations {
            Operations::Encrypt => "Key Vault Crypto User",
            Operations::Wrap => "Key Vault Crypto Service Encryption User",
        };
        format!(
            "az role assignment create --role \"{role}\" --assignee {assignee} --scope \"$({})/keys/{}\"",
            self.id(),
            self.key.name
        )
    }
}

fn object_id(identity: &ManagedIdentity) -> &str {
    match identity {
        ManagedIdentity::ObjectId(id) => id,
        _ => "OBJECT_ID_OF_THE_IDENTITY",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const PRINCIPAL: &str = r#"{"tenantId":"t","aadClientId":"app-1","aadClientSecret":"s3cr3t"}"#;
    const IDENTITY: &str = r#"{"useManagedIdentityExtension":true,"userAssignedIdentityID":"msi-1"}"#;

    pub(in super::super) fn key(operations: Operations) -> KeyConfig {
        KeyConfig {
            vault_name: "kv-1".into(),
            dns_suffix: "vault.azure.net".into(),
            resource: "https://vault.azure.net".into(),
            name: "k8s".into(),
            version: "0".repeat(32),
            operations,
        }
    }

    fn fix(azure_json: &str, operations: Operations, is_managed_hsm: bool, code: &str) -> String {
        let (key, access) = (key(operations), Access::of_azure_json(azure_json));
        let code = Some(code.to_owned());
        let error = VaultError { code, ..VaultError::without_answer(Failure::Forbidden) };
        Advice::new(&key, &access, is_managed_hsm).for_error(&error)
    }

    #[test]
    fn an_access_policy_is_set_for_what_is_called_and_for_who_calls() {
        let command = |azure_json, operations| {
            let fix = fix(azure_json, operations, false, "AccessDenied");
            fix.split_once(" (").unwrap().0.to_owned()
        };
        assert_eq!(
            command(PRINCIPAL, Operations::Encrypt),
            "az keyvault set-policy --name kv-1 --spn app-1 --key-permissions get encrypt decrypt"
        );
        assert_eq!(
            command(IDENTITY, Operations::Wrap),
            "az keyvault set-policy --name kv-1 --object-id OBJECT_ID_OF_THE_IDENTITY --key-permissions get wrapKey \
             unwrapKey"
        );
    }

    #[test]
    fn an_access_policy_is_said_to_be_replaced_and_shown_before() {
        let fix = fix(PRINCIPAL, Operations::Encrypt, false, "AccessDenied");
        assert!(fix.contains("replaces") && fix.contains("az keyvault show --name kv-1"), "{fix}");
    }

    #[test]
    fn a_managed_hsm_has_roles_whatever_it_says() {
        for code in ["ForbiddenByRbac", "AccessDenied"] {
            let fix = fix(PRINCIPAL, Operations::Encrypt, true, code);
            assert!(fix.starts_with("az keyvault role assignment create --hsm-name kv-1"), "{fix}");
        }
    }

    #[test]
    fn soft_delete_is_switched_on_with_purge_protection_and_never_missing_in_a_managed_hsm() {
        let (key, access) = (key(Operations::Encrypt), Access::of_azure_json(PRINCIPAL));
        assert_eq!(
            Advice::new(&key, &access, false).soft_delete(),
            "az resource update --ids \"$(az keyvault show --name kv-1 --query id --output tsv)\" --set \
             properties.enableSoftDelete=true properties.enablePurgeProtection=true"
        );
        assert_eq!(
            Advice::new(&key, &access, true).soft_delete(),
            "az keyvault update-hsm --hsm-name kv-1 --enable-purge-protection true"
        );
    }

    #[test]
    fn a_role_is_the_smallest_for_what_is_called() {
        let vault = fix(PRINCIPAL, Operations::Wrap, false, "ForbiddenByRbac");
        assert!(vault.contains("\"Key Vault Crypto Service Encryption User\" --assignee app-1"), "{vault}");
    }

    #[test]
    fn both_forms_of_a_closed_network_are_one() {
        for code in ["ForbiddenByFirewall", "ForbiddenByConnection"] {
            let fix = fix(PRINCIPAL, Operations::Encrypt, false, code);
            assert!(fix.starts_with("az keyvault network-rule add --name kv-1"), "{fix}");
        }
    }
}
