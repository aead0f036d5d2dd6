//! Files as operators write them, with and without mistakes.

use proptest::prelude::*;

use super::*;

/// Chooses the credential of that `azure.json` in that environment.
///
/// # Errors
/// The text cannot be parsed, or no credential can be chosen: all problems.
fn read_with(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<CredentialConfig, Vec<String>> {
    let fields = Fields::parse(text.as_bytes()).map_err(|problem| vec![problem])?;
    choose(&fields, &Cloud::public(), env)
}

/// Chooses the credential of that `azure.json`, without any variable in the environment.
///
/// # Errors
/// The text cannot be parsed, or no credential can be chosen: all problems.
fn read_text(text: &str) -> Result<CredentialConfig, Vec<String>> {
    read_with(text, &|_| None)
}

fn principal_of(text: &str) -> ServicePrincipal {
    match read_text(text).unwrap() {
        CredentialConfig::ServicePrincipal(principal) => principal,
        other => panic!("{other:?}"),
    }
}

fn secret_of(text: &str) -> String {
    match principal_of(text).proof {
        Proof::Secret(secret) => secret.expose().to_owned(),
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
fn what_is_missing_or_wrong_is_named() {
    for (file, field) in [
        ("{}", "useManagedIdentityExtension"),
        (r#"{"aadClientId":"c","aadClientSecret":"s"}"#, "tenantId"),
        (r#"{"tenantId":"t","aadClientId":"msi","aadClientSecret":"msi"}"#, "placeholder"),
        (r#"{"tenantId":"t","aadClientId":"c","aadClientCertPath":"/absent.pfx"}"#, "aadClientCertPath"),
        (r#"{"tenantId":"t","aadClientCertPath":"/absent.pfx"}"#, "aadClientId"),
        (r#"{"aadClientSecret":5}"#, "aadClientSecret"),
        (r#"{"useManagedIdentityExtension":"perhaps"}"#, "useManagedIdentityExtension"),
        (r#"{"tenantId":"a","TenantID":"b"}"#, "tenantId"),
        (r#"{"useFederatedWorkloadIdentityExtension":true}"#, "aadFederatedTokenFile"),
        (
            r#"{"useFederatedWorkloadIdentityExtension":true,"aadFederatedTokenFile":"/absent"}"#,
            "aadClientId",
        ),
        (r#"{"aadMSIDataPlaneIdentityPath":"/absent.json"}"#, "aadMSIDataPlaneIdentityPath"),
        ("{\"tenantId\": \"t\",\n  nonsense", "line 2"),
        ("- a\n- b\n", "YAML"),
    ] {
        let problem = problem_of(file);
        assert!(problem.contains(field), "{file}: {problem}");
    }
}

#[test]
fn contradictions_are_refused_with_what_to_change() {
    for (file, field) in [
        (
            r#"{"useFederatedWorkloadIdentityExtension":true,"useManagedIdentityExtension":true}"#,
            "are both true",
        ),
        (
            r#"{"useManagedIdentityExtension":true,"userAssignedIdentityID":"a","userAssignedIdentityObjectID":"b"}"#,
            "keep one",
        ),
    ] {
        assert!(problem_of(file).contains(field), "{file}: {}", problem_of(file));
    }
}

#[test]
fn an_object_id_has_a_field_of_its_own() {
    let file = r#"{"useManagedIdentityExtension":true,"userAssignedIdentityObjectID":"o"}"#;
    assert_eq!(identity_of(file), ManagedIdentity::ObjectId("o".into()));
}

#[test]
fn workload_identity_takes_the_file_s_fields_and_then_the_environment_s() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "eyJ\n").unwrap();
    let path = token.display().to_string();
    let env = |name: &str| match name {
        "AZURE_FEDERATED_TOKEN_FILE" => Some(path.clone()),
        "AZURE_CLIENT_ID" => Some("env-client".to_owned()),
        "AZURE_TENANT_ID" => Some("env-tenant".to_owned()),
        _ => None,
    };
    let principal = |text: &str| match read_with(text, &env).unwrap() {
        CredentialConfig::ServicePrincipal(principal) => principal,
        other => panic!("{other:?}"),
    };
    let from_env = principal("{}");
    assert_eq!((from_env.client_id.as_str(), from_env.tenant_id.as_str()), ("env-client", "env-tenant"));
    assert!(matches!(from_env.proof, Proof::TokenFile(file) if file == token));
    let both =
        principal(r#"{"useFederatedWorkloadIdentityExtension":true,"aadClientId":"c","tenantId":"t"}"#);
    assert_eq!((both.client_id.as_str(), both.tenant_id.as_str()), ("c", "t"));
    let secret = principal(r#"{"aadClientId":"c","aadClientSecret":"s","tenantId":"t"}"#);
    assert!(matches!(secret.proof, Proof::Secret(_)), "as with the Go plugin the environment comes last");
}

#[test]
fn a_missing_file_and_a_folder_are_told_apart() {
    let problem = |path: &str| Fields::load(Path::new(path)).err().unwrap();
    assert!(problem("/absent/azure.json").contains("No such file"));
    assert!(problem("/").contains("not a file"));
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
        let file = if yaml {
            format!("aadClientSecret: {SECRET}\n{before}\n{after}")
        } else {
            format!("{{\"aadClientSecret\":\"{SECRET}\",{before}{after}")
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
