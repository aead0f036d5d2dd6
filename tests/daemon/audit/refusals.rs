//! Lines of what was refused.

use akv_emulator::{FaultSet, Faults};

use super::{audited, file, of_clients};
use crate::harness::Vault;

#[tokio::test]
async fn what_is_refused_has_its_line_and_a_name_only_if_key_vault_refused() {
    let vault = Vault::start().await;
    let mut daemon = audited(&vault).healthy().await;
    let mut client = daemon.client();
    let encrypted = client.encrypt_v2(b"a seed").await.unwrap();
    let (mut other_key, mut bare) = (encrypted.clone(), encrypted);
    other_key.key_id = "0".repeat(64);
    bare.annotations.clear();
    client.decrypt_v2(other_key).await.unwrap_err();
    client.decrypt_v2(bare).await.unwrap_err();
    client.decrypt_v1(b"foreign").await.unwrap_err();
    client.encrypt_v1(b"").await.unwrap_err();
    client.encrypt_v2(&[1; 140_000]).await.unwrap_err();
    let failing = |status| FaultSet { error_rate: 1.0, status: Some(status), ..FaultSet::default() };
    let foreign = FaultSet { wrong_kid: true, ..FaultSet::default() };
    let silent = FaultSet { reset_rate: 1.0, ..FaultSet::default() };
    for vault_fault in [failing(403), foreign, silent] {
        vault.emulator.set_faults(Faults { vault: vault_fault, ..Faults::default() });
        client.encrypt_v2(b"x").await.unwrap_err();
    }
    daemon.terminate();
    daemon.exit().await;
    let (invalid, known, id) = ("INVALID_ARGUMENT", true, true);
    let expected = [
        ("encrypt", "OK", known, id),
        ("decrypt", invalid, !known, !id),
        ("decrypt", invalid, known, !id),
        ("decrypt", invalid, known, !id),
        ("encrypt", invalid, known, !id),
        ("encrypt", invalid, !known, !id),
        ("encrypt", "PERMISSION_DENIED", known, id),
        ("encrypt", "FAILED_PRECONDITION", known, id),
        ("encrypt", "UNAVAILABLE", known, !id),
    ];
    let lines = of_clients(&file(&vault));
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, (operation, outcome, known, id)) in lines.iter().zip(expected) {
        assert_eq!((&line["operation"], &line["outcome"]), (&operation.into(), &outcome.into()), "{line}");
        assert_eq!(
            (line["key_id"] == vault.key_id(), line["x-ms-request-id"].is_string()),
            (known, id),
            "{line}"
        );
    }
    assert!(lines[5]["uid"].is_null(), "its message was too long to be read: {}", lines[5]);
    let answers = vault.emulator.responses();
    for line in lines.iter().filter(|line| line["x-ms-request-id"].is_string()) {
        assert!(answers.iter().any(|answer| line["x-ms-request-id"] == *answer.request_id), "{line}");
    }
}

#[tokio::test]
async fn a_call_that_found_the_breaker_open_does_not_have_the_name_of_another_s_answer() {
    let vault = Vault::start().await;
    let mut daemon = audited(&vault).healthy().await;
    let failing = FaultSet { error_rate: 1.0, status: Some(503), ..FaultSet::default() };
    vault.emulator.set_faults(Faults { vault: failing, ..Faults::default() });
    let mut client = daemon.client();
    let refused_at_once = |text: &str| text.contains("calls fail at once");
    while !refused_at_once(client.encrypt_v2(b"x").await.unwrap_err().message()) {}
    daemon.terminate();
    daemon.exit().await;
    let lines = of_clients(&file(&vault));
    assert!(lines.len() > 1 && lines[0]["x-ms-request-id"].is_string(), "{lines:#?}");
    assert!(lines.last().unwrap()["x-ms-request-id"].is_null(), "{lines:#?}");
}
