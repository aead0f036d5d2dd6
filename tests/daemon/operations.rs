//! `--key-operations`.

use tonic::Code;

use crate::harness::Vault;

fn only(vault: &Vault, operations: &[&str]) {
    let operations = operations.iter().map(|name| (*name).to_owned()).collect();
    vault.emulator.set_permissions([(vault.emulator.info().client_id.clone(), operations)].into());
}

#[tokio::test]
async fn wrap_needs_no_more_than_the_small_role_and_encrypt_does() {
    let vault = Vault::start().await;
    only(&vault, &["get", "wrapKey", "unwrapKey"]); // Key Vault Crypto Service Encryption User
    let daemon = vault.daemon().arg("--key-operations=wrap").healthy().await;
    daemon.client().round_trips().await.unwrap();
    assert_eq!((vault.emulator.stats().calls("encrypt"), vault.emulator.stats().calls("decrypt")), (0, 0));
    drop(daemon);
    let daemon = vault.daemon().listening().await;
    assert_eq!(daemon.client().encrypt_v2(b"x").await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn what_one_pair_of_operations_wrote_the_other_reads() {
    let vault = Vault::start().await;
    let (mut written_v1, mut written_v2) = (Vec::new(), Vec::new());
    for operations in ["encrypt", "wrap"] {
        let daemon = vault.daemon().arg(format!("--key-operations={operations}")).healthy().await;
        written_v1.push(daemon.client().encrypt_v1(b"a data key").await.unwrap());
        written_v2.push(daemon.client().encrypt_v2(b"a seed").await.unwrap());
    }
    for operations in ["encrypt", "wrap"] {
        let daemon = vault.daemon().arg(format!("--key-operations={operations}")).healthy().await;
        for written in &written_v1 {
            assert_eq!(daemon.client().decrypt_v1(written).await.unwrap(), b"a data key");
        }
        for written in &written_v2 {
            assert_eq!(daemon.client().decrypt_v2(written.clone()).await.unwrap(), b"a seed");
        }
    }
}
