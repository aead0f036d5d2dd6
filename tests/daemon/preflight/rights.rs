//! Who may do what with the key, by which of Key Vault's means, and who is let in at all.

use akv_emulator::{FaultSet, Faults, KeyPatch, PermissionModel};

use super::{Checked, args_without, checked, checked_with};
use crate::harness::Vault;

/// The daemon's identity may do that and nothing else.
fn permit(vault: &Vault, operations: &[&str]) {
    let operations = operations.iter().map(|name| (*name).to_owned()).collect();
    vault.emulator.set_permissions([(vault.emulator.info().client_id.clone(), operations)].into());
}

/// At the emulator's managed HSM in place of its vault.
async fn checked_at_hsm(vault: &Vault) -> Checked {
    let info = vault.emulator.info();
    let own = ["--managed-hsm".into(), format!("--connect-to={}={}", info.managed_hsm_host, info.vault_addr)];
    let others = args_without(vault, &format!("--connect-to={}=", info.vault_host));
    checked_with([others, own.to_vec()].concat()).await
}

/// Both round trips failed and nothing else, for that cause and with a remedy that begins so.
#[track_caller]
fn only_round_trips(checked: &Checked, cause: &str, fix: &str) {
    let names = ["round-trip-v2", "round-trip-v1"];
    assert_eq!((checked.code, checked.with_result("failed")), (1, names.to_vec()), "{:#}", checked.report);
    for name in names {
        let check = checked.check(name);
        let text = |field: &str| check[field].as_str().unwrap();
        assert!(text("cause").contains(cause) && text("fix").starts_with(fix), "{check:#}");
    }
}

#[tokio::test]
async fn no_role_no_access_policy_and_the_firewall_are_told_apart() {
    let vault = Vault::start().await;
    let client = vault.emulator.info().client_id.clone();
    permit(&vault, &[]);
    let no_role = checked(&vault, &[]).await;
    let create = "az role assignment create --role \"Key Vault Crypto User\" --assignee";
    only_round_trips(&no_role, "ForbiddenByRbac", &format!("{create} {client}"));

    vault.emulator.set_permission_model(PermissionModel::AccessPolicy);
    let set = format!("az keyvault set-policy --name emulator --spn {client} --key-permissions get");
    let no_policy = checked(&vault, &[]).await;
    only_round_trips(&no_policy, "AccessDenied", &format!("{set} encrypt decrypt"));
    let no_policy = checked(&vault, &["--key-operations=wrap".into()]).await;
    only_round_trips(&no_policy, "AccessDenied", &format!("{set} wrapKey unwrapKey"));

    vault.emulator.set_permissions([].into());
    let firewall = FaultSet { error_rate: 1.0, status: Some(403), ..FaultSet::default() };
    vault.emulator.set_faults(Faults { vault: firewall, ..Faults::default() });
    let outside = checked(&vault, &[]).await;
    outside.only("vault-access", "ForbiddenByFirewall", "az keyvault network-rule add");
}

#[tokio::test]
async fn key_ops_that_lack_the_operation_are_told_of_a_key_that_may_not_be_read() {
    let vault = Vault::start().await;
    permit(&vault, &["encrypt", "decrypt"]);
    let (info, operations) = (vault.emulator.info(), Some(vec!["sign".into()]));
    let patch = KeyPatch { operations, ..KeyPatch::default() };
    vault.emulator.update_key(&info.key_name, &info.key_versions[0], patch).unwrap();
    let set = "az keyvault key set-attributes --vault-name emulator --name k8s --version";
    only_round_trips(&checked(&vault, &[]).await, "the key does not allow this operation", set);
}

#[tokio::test]
async fn rights_that_suffice_and_no_right_to_read_pass_in_both_permission_models() {
    let vault = Vault::start().await;
    permit(&vault, &["encrypt", "decrypt"]);
    for model in [PermissionModel::Rbac, PermissionModel::AccessPolicy] {
        vault.emulator.set_permission_model(model);
        let enough = checked(&vault, &[]).await;
        let results = (enough.code, enough.result("key"), enough.result("round-trip-v1"));
        assert_eq!(results, (0, "skipped", "passed"), "{model:?}: {:#}", enough.report);
    }
}

#[tokio::test]
async fn a_managed_hsm_is_mended_by_its_own_commands() {
    let vault = Vault::start().await;
    let well = checked_at_hsm(&vault).await;
    assert_eq!((well.code, well.with_result("warned")), (0, vec!["key-recovery"]), "{:#}", well.report);
    let protect = "az keyvault update-hsm --hsm-name emulator --enable-purge-protection true";
    assert_eq!(well.check("key-recovery")["fix"], protect);

    permit(&vault, &["get"]);
    vault.emulator.set_permission_model(PermissionModel::AccessPolicy); // of which a managed HSM knows nothing
    let no_role = checked_at_hsm(&vault).await;
    let create = "az keyvault role assignment create --hsm-name emulator --role \"Managed HSM Crypto User\"";
    only_round_trips(&no_role, "ForbiddenByRbac", create);
    assert!(no_role.check("round-trip-v2")["fix"].as_str().unwrap().ends_with("--scope /keys/k8s"));
}
