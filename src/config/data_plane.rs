//! The file of a managed identity's data plane, by which Azure gives hosted control planes the certificate behind an
//! identity (`aadMSIDataPlaneIdentityPath`).
//!
//! Format: `UserAssignedIdentityCredentials` of github.com/Azure/msi-dataplane. No error repeats a value of it.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::certificate::{self, ClientCertificate};
use super::{cloud, files};

/// The fields of the file that matter here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Identity {
    /// The URL of a regional Entra ID.
    authentication_endpoint: String,
    tenant_id: String,
    client_id: String,
    /// Base64 of PKCS#12 or PEM, without a password.
    client_secret: Zeroizing<String>,
}

/// An application that signs with that certificate.
pub(super) struct DataPlaneIdentity {
    pub(super) authority_host: String,
    pub(super) tenant_id: String,
    pub(super) client_id: String,
    pub(super) certificate: ClientCertificate,
}

/// Reads the file.
///
/// # Errors
/// The file cannot be read, or [`parse`] refuses it: a sentence without the file's name.
pub(super) fn load(path: &Path) -> Result<DataPlaneIdentity, String> {
    parse(&files::read(path)?, path)
}

/// Reads the content of such a file, which was found at that path.
///
/// # Errors
/// It is not JSON, or a field is missing or wrong: names line and column, or the field.
pub(super) fn parse(content: &[u8], path: &Path) -> Result<DataPlaneIdentity, String> {
    let identity: Identity = serde_json::from_slice(content).map_err(|error| {
        format!("line {}, column {}: is not the JSON of an identity", error.line(), error.column())
    })?;
    for (field, value) in [("tenant_id", &identity.tenant_id), ("client_id", &identity.client_id)] {
        if value.is_empty() {
            return Err(format!("the field {field} is missing"));
        }
    }
    let secret = STANDARD.decode(identity.client_secret.as_bytes()).map(Zeroizing::new);
    let secret = secret.map_err(|_| "the field client_secret is not base64")?;
    let (key, chain) =
        certificate::parse(&secret, "").map_err(|problem| format!("the field client_secret {problem}"))?;
    let authority_host = cloud::authority_host(&identity.authentication_endpoint, "authentication_endpoint")?;
    Ok(DataPlaneIdentity {
        authority_host,
        tenant_id: identity.tenant_id.clone(),
        client_id: identity.client_id.clone(),
        certificate: ClientCertificate {
            key: Arc::new(key),
            chain,
            path: path.to_owned(),
            is_chain_needed: true,
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn file() -> Value {
        let certificate = include_bytes!("../../tests/certificates/no-password.pfx");
        json!({
            "authentication_endpoint": "https://westeurope.login.microsoft.com/",
            "tenant_id": "t", "client_id": "c", "client_secret": STANDARD.encode(certificate),
            "not_before": "2026-01-01T00:00:00Z", "resource_id": "/subscriptions/s",
        })
    }

    /// Parses the file from a JSON value.
    ///
    /// # Errors
    /// [`parse`] refuses it.
    fn parse_json(file: &Value) -> Result<DataPlaneIdentity, String> {
        parse(file.to_string().as_bytes(), Path::new("/identity.json"))
    }

    #[test]
    fn the_certificate_and_the_regional_authority_are_read() {
        let identity = parse_json(&file()).unwrap();
        assert_eq!(identity.authority_host, "westeurope.login.microsoft.com");
        assert_eq!((identity.tenant_id.as_str(), identity.client_id.as_str()), ("t", "c"));
        assert!(identity.certificate.is_chain_needed);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_and_never_repeated() {
        for (field, value) in [
            ("tenant_id", json!("")),
            ("client_id", json!(null)),
            ("client_secret", json!("Pl4nt3d!")),
            ("client_secret", json!(STANDARD.encode("Pl4nt3d"))),
            ("authentication_endpoint", json!("http://Pl4nt3d")),
        ] {
            let mut broken = file();
            broken[field] = value.clone();
            let problem = parse_json(&broken).err().unwrap();
            let named = problem.contains(field) || value.is_null() && problem.contains("is not the JSON");
            assert!(named && !problem.contains("Pl4nt3d"), "{field}: {problem}");
        }
    }
}
