//! Every credential of `azure.json`, and what is refused at the start.

use akv_emulator::{Application, ClientSecret, Federated, FederatedToken, ISSUER};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::Vault;

/// The certificate whose key is in `tests/certificates/modern.pfx` and `pkcs8.pem`.
const LEAF: &str = include_str!("../certificates/only-certificate.pem");

fn certificate(name: &str) -> String {
    format!("{}/tests/certificates/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// An `azure.json` of the emulator's application with those fields, as a flag.
fn application(vault: &Vault, fields: &Value) -> String {
    let info = vault.emulator.info();
    let mut file = json!({ "tenantId": info.tenant_id, "aadClientId": info.client_id });
    file.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    vault.azure_json(&file.to_string())
}

/// The daemon serves with that credential, and the token came by that way.
async fn serves(vault: &Vault, config: String, more: &[&str], by: &str) {
    let daemon = more.iter().fold(vault.daemon().arg(config), |start, arg| start.arg(*arg)).healthy().await;
    daemon.client().round_trips().await.unwrap();
    let tokens = vault.emulator.stats().tokens_by_credential;
    assert_eq!(tokens.keys().collect::<Vec<_>>(), [by]);
}

#[tokio::test]
async fn a_client_certificate_is_used_in_each_form_and_with_each_assertion() {
    let pfx = json!({ "aadClientCertPath": certificate("modern.pfx"), "aadClientCertPassword": "p4ss w0rd" });
    let pem = json!({ "aadClientCertPath": certificate("pkcs8.pem") });
    for (file, more) in [
        (&pfx, &[][..]),
        (&pem, &["--client-assertion=RS256"]),
        (&pem, &["--client-assertion=ps256", "--send-certificate-chain"]),
    ] {
        let vault = Vault::start().await;
        let registered = Application { certificates: Some(vec![LEAF.into()]), ..Application::default() };
        vault.emulator.set_application(registered).unwrap();
        let config = application(&vault, file);
        serves(&vault, config, more, "certificate").await;
    }
}

#[tokio::test]
async fn a_data_plane_identity_is_used_with_its_own_tenant_client_and_authority() {
    let vault = Vault::start().await;
    let info = vault.emulator.info().clone();
    let registered = Application { certificates: Some(vec![LEAF.into()]), ..Application::default() };
    vault.emulator.set_application(registered).unwrap();
    let path = vault.dir.path().join("identity.json");
    let pfx = std::fs::read(certificate("no-password.pfx")).unwrap();
    let identity = json!({
        "authentication_endpoint": format!("https://{}/", info.authority_host),
        "tenant_id": info.tenant_id,
        "client_id": info.client_id,
        "client_secret": STANDARD.encode(pfx),
    });
    std::fs::write(&path, identity.to_string()).unwrap();
    let config = vault.azure_json(&json!({ "aadMSIDataPlaneIdentityPath": path }).to_string());
    serves(&vault, config, &[], "certificate").await;
}

#[tokio::test]
async fn a_workload_identity_is_used_from_the_file_and_from_the_environment() {
    for from_environment in [false, true] {
        let vault = Vault::start().await;
        let (info, token) = (vault.emulator.info().clone(), vault.dir.path().join("token"));
        let trusted = Federated {
            issuer: ISSUER.into(),
            subject: "system:serviceaccount:kube-system:kms".into(),
            audience: "api://AzureADTokenExchange".into(),
        };
        let registered = Application { federated: Some(vec![trusted.clone()]), ..Application::default() };
        vault.emulator.set_application(registered).unwrap();
        let issued = vault.emulator.federated_token(&FederatedToken::of(trusted.subject)).unwrap();
        std::fs::write(&token, issued + "\n").unwrap();
        let daemon = if from_environment {
            vault
                .daemon()
                .arg(vault.azure_json("{}"))
                .env("AZURE_FEDERATED_TOKEN_FILE", token.display().to_string())
                .env("AZURE_CLIENT_ID", info.client_id)
                .env("AZURE_TENANT_ID", info.tenant_id)
        } else {
            let file =
                json!({ "useFederatedWorkloadIdentityExtension": true, "aadFederatedTokenFile": token });
            vault.daemon().arg(application(&vault, &file))
        };
        let daemon = daemon.healthy().await;
        daemon.client().round_trips().await.unwrap();
        assert!(daemon.log().contains("credential=\"workload identity\""));
        assert!(vault.emulator.stats().tokens_by_credential.contains_key("federated"));
    }
}

#[tokio::test]
async fn a_credential_that_entra_refuses_is_told_by_number_hint_and_anchor() {
    let expired = ClientSecret { value: "old".into(), expires: Some(1) };
    for (fields, number, hint) in [
        (json!({ "aadClientSecret": "wrong" }), 7_000_215, "the client secret is wrong"),
        (json!({ "aadClientSecret": "old" }), 7_000_222, "the client secret has expired"),
        (json!({ "aadClientSecret": "old", "aadClientId": "nobody" }), 700_016, "not in this tenant"),
        (json!({ "aadClientCertPath": certificate("pkcs8.pem") }), 700_027, "not registered"),
    ] {
        let vault = Vault::start().await;
        let registered =
            Application { client_secrets: Some(vec![expired.clone()]), ..Application::default() };
        vault.emulator.set_application(registered).unwrap();
        let mut daemon = vault.daemon().arg(application(&vault, &fields)).listening().await;
        let anchor = format!("docs/troubleshooting.md#aadsts{number}");
        daemon.logs(&anchor).await;
        daemon.client().until_status(false).await;
        let (status, body) = daemon.get("/healthz?verbose").await;
        let line = body.lines().find(|line| line.starts_with("[-]token failed: ")).unwrap();
        assert_eq!(status, 500);
        for part in [format!("AADSTS{number}"), hint.to_owned(), anchor] {
            assert!(line.contains(&part), "{part}: {line}");
        }
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_end_the_start_with_one_message_and_exit_code_1() {
    let vault = Vault::start().await;
    let missing = json!({ "aadClientCertPath": "/absent.pfx" });
    let expired = json!({ "aadClientCertPath": certificate("expired.pem") });
    let locked =
        json!({ "aadClientCertPath": certificate("modern.pfx"), "aadClientCertPassword": "Pl4nt3d" });
    let named =
        |fields| Box::new(move |vault: &Vault| application(vault, fields)) as Box<dyn Fn(&Vault) -> String>;
    let whole = |content: &'static str| Box::new(move |vault: &Vault| vault.azure_json(content)) as Box<_>;
    for (config, parts) in [
        (named(&missing), ["aadClientCertPath", "/absent.pfx"]),
        (named(&expired), ["expired.pem", "expired on"]),
        (named(&locked), ["modern.pfx", "aadClientCertPassword"]),
        (whole(""), ["azure.json", "empty"]),
        (whole("{\"tenantId\":"), ["azure.json", "line 1"]),
        (
            whole(r#"{"cloud":"AzureGermanCloud","useManagedIdentityExtension":true}"#),
            ["the field cloud", "closed"],
        ),
        (Box::new(|_: &Vault| "--config-file-path=/absent.json".into()), ["/absent.json", "No such file"]),
    ] {
        let mut daemon = vault.daemon().arg(config(&vault)).spawn();
        assert_eq!(daemon.exit().await.code(), Some(1));
        let log = daemon.log();
        let lines: Vec<_> = log.lines().filter(|line| line.contains("Cannot run")).collect();
        let [line] = lines[..] else { panic!("not one message: {lines:?}") };
        assert!(parts.iter().all(|part| line.contains(part)), "{parts:?}: {line}");
        assert!(!log.contains("Pl4nt3d"));
    }
}
