//! What operators' files hold, and what they hold by mistake.

use proptest::prelude::*;

use super::*;

fn read_text(text: &str) -> Result<CredentialConfig, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("azure.json");
    std::fs::write(&path, text).unwrap();
    load(&path)
}

fn secret_of(text: &str) -> String {
    match read_text(text).unwrap() {
        CredentialConfig::ClientSecret { secret, .. } => secret.expose().to_owned(),
        other => panic!("{other:?}"),
    }
}

fn identity_of(text: &str) -> ManagedIdentity {
    match read_text(text).unwrap() {
        CredentialConfig::ManagedIdentity(identity) => identity,
        other => panic!("{other:?}"),
    }
}

fn problem_of(text: &str) -> String {
    read_text(text).unwrap_err().join("\n")
}

#[test]
fn a_service_principal_is_read_from_json_and_from_yaml() {
    let json =
        r#"{"tenantId":"t","aadClientId":"c","aadClientSecret":"s3cr3t","vmType":"vmss","nested":{"a":[1]}}"#;
    assert_eq!(secret_of(json), "s3cr3t");
    assert_eq!(secret_of("tenantId: t\naadClientId: c\naadClientSecret: s3cr3t\nother:\n  - 1\n"), "s3cr3t");
    assert_eq!(secret_of(&format!("\u{feff}\n {json}")), "s3cr3t");
}

#[test]
fn names_may_have_any_letter_case_as_the_manual_writes_aad_client_id() {
    assert_eq!(secret_of(r#"{"TENANTID":"t","aadClientID":"c","aadclientsecret":"s"}"#), "s");
}

#[test]
fn a_secret_of_digits_stays_as_it_is_written_in_yaml() {
    for digits in ["12345", "0123", "0123e4", "0x1f"] {
        assert_eq!(secret_of(&format!("tenantId: t\naadClientId: c\naadClientSecret: {digits}\n")), digits);
    }
}

#[test]
fn a_managed_identity_comes_before_a_secret() {
    let file = |id: &str| {
        format!(
            r#"{{"useManagedIdentityExtension":true,"userAssignedIdentityID":"{id}","tenantId":"t",
                "aadClientId":"msi","aadClientSecret":"msi"}}"#
        )
    };
    assert_eq!(identity_of(&file("")), ManagedIdentity::SystemAssigned);
    assert_eq!(identity_of(&file("1234")), ManagedIdentity::ClientId("1234".into()));
    let resource = "/Subscriptions/s/resourceGroups/g/providers/p/userAssignedIdentities/i";
    assert_eq!(identity_of(&file(resource)), ManagedIdentity::ResourceId(resource.into()));
    assert_eq!(identity_of("useManagedIdentityExtension: \"true\"\n"), ManagedIdentity::SystemAssigned);
    assert_eq!(
        identity_of("useManagedIdentityExtension: true\nuserAssignedIdentityID: null\n"),
        ManagedIdentity::SystemAssigned
    );
}

#[test]
fn what_is_missing_or_not_supported_is_named() {
    for (file, field) in [
        ("{}", "useManagedIdentityExtension"),
        (r#"{"aadClientId":"c","aadClientSecret":"s"}"#, "tenantId"),
        (r#"{"tenantId":"t","aadClientId":"msi","aadClientSecret":"msi"}"#, "placeholder"),
        (r#"{"tenantId":"t","aadClientId":"c","aadClientCertPath":"/x.pfx"}"#, "aadClientCertPath"),
        (r#"{"cloud":"AzureChinaCloud","useManagedIdentityExtension":true}"#, "cloud"),
        (r#"{"aadClientSecret":5}"#, "aadClientSecret"),
        (r#"{"useManagedIdentityExtension":"perhaps"}"#, "useManagedIdentityExtension"),
        (r#"{"tenantId":"a","TenantID":"b"}"#, "tenantId"),
        ("{\"tenantId\": \"t\",\n  nonsense", "line 2"),
        ("- a\n- b\n", "YAML"),
    ] {
        let problem = problem_of(file);
        assert!(problem.contains(field) && problem.contains("azure.json"), "{file}: {problem}");
    }
}

#[test]
fn workload_identity_is_refused_and_not_silently_replaced_by_another_credential() {
    for other in ["", r#""useManagedIdentityExtension":true,"#, r#""aadClientId":"c","aadClientSecret":"s","#]
    {
        let file = format!(r#"{{{other}"useFederatedWorkloadIdentityExtension":true}}"#);
        assert!(problem_of(&file).contains("useFederatedWorkloadIdentityExtension"), "{file}");
    }
}

#[test]
fn a_missing_file_and_a_folder_are_named() {
    assert!(
        load(Path::new("/absent/azure.json")).unwrap_err()[0]
            .contains("--config-file-path /absent/azure.json")
    );
    assert!(load(Path::new("/")).unwrap_err()[0].contains("not a file"));
}

#[test]
fn debug_of_a_credential_does_not_show_its_secret() {
    let json = r#"{"tenantId":"t","aadClientId":"c","aadClientSecret":"s3cr3t"}"#;
    assert!(!format!("{:?}", read_text(json).unwrap()).contains("s3cr3t"));
}

proptest! {
    #[test]
    fn no_error_ever_repeats_the_secret(before in ".{0,40}", after in "(?s).{0,60}", yaml in any::<bool>()) {
        const SECRET: &str = "Pl4nt3dS3cr3t";
        let file = match yaml {
            true => format!("aadClientSecret: {SECRET}\n{before}\n{after}"),
            false => format!("{{\"aadClientSecret\":\"{SECRET}\",{before}{after}"),
        };
        if let Err(problems) = read_text(&file) {
            let problems = problems.join("\n");
            prop_assert!(!problems.contains(SECRET), "{problems}");
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Fields::parse(&bytes);
    }
}
