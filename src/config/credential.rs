//! The choice of a credential from `azure.json`.
//!
//! Workload identity when it is asked for, then the Go plugin's order: managed identity, client id and secret, client
//! certificate. Then a data-plane identity. Without any of them in the file, the variables that Azure's workload
//! identity webhook sets.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::azure_json::{
    CERTIFICATE, CLIENT, DATA_PLANE, Fields, MANAGED, OBJECT_ID, SECRET, TENANT, TOKEN_FILE, USER_ASSIGNED,
    WORKLOAD,
};
use super::certificate::{self, ClientCertificate};
use super::cloud::Cloud;
use super::secret::Secret;
use super::{data_plane, files};

/// The text that AKS writes in place of an id and a secret when the cluster uses a managed identity.
const PLACEHOLDER: &str = "msi";

/// The credential to authenticate with.
#[derive(Clone, Debug)]
pub(crate) enum CredentialConfig {
    /// An application, through Entra ID.
    ServicePrincipal(ServicePrincipal),
    /// A managed identity, through IMDS.
    ManagedIdentity(ManagedIdentity),
}

/// An application in a tenant.
#[derive(Clone, Debug)]
pub(crate) struct ServicePrincipal {
    /// The host of Entra ID, with its port if it has one.
    pub authority_host: String,
    /// The tenant.
    pub tenant_id: String,
    /// The application's client id.
    pub client_id: String,
    /// The proof of its identity.
    pub proof: Proof,
}

/// The proof of an application's identity.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    /// A client secret.
    Secret(Secret),
    /// A client certificate.
    Certificate(ClientCertificate),
    /// A file with a token of another issuer (workload identity). Read anew for each token.
    TokenFile(PathBuf),
}

/// A managed identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ManagedIdentity {
    /// The machine's own.
    SystemAssigned,
    /// The one of that client id.
    ClientId(String),
    /// The one of that object id.
    ObjectId(String),
    /// The one of that resource id.
    ResourceId(String),
}

impl CredentialConfig {
    /// Names the kind, for the log.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::ManagedIdentity(ManagedIdentity::SystemAssigned) => "system-assigned managed identity",
            Self::ManagedIdentity(_) => "user-assigned managed identity",
            Self::ServicePrincipal(principal) => match principal.proof {
                Proof::Secret(_) => "service principal with client secret",
                Proof::Certificate(_) => "service principal with client certificate",
                Proof::TokenFile(_) => "workload identity",
            },
        }
    }

    /// Returns the message for an issuer of tokens that did not answer within `limit`.
    pub(crate) fn no_answer(&self, limit: Duration) -> String {
        let issuer = match self {
            Self::ServicePrincipal(_) => "Entra ID",
            Self::ManagedIdentity(_) => "IMDS",
        };
        format!("{issuer} does not answer within {} s", limit.as_secs())
    }

    /// Returns the host of Entra ID; `None` where IMDS issues the tokens.
    pub(super) fn authority_host(&self) -> Option<&str> {
        match self {
            Self::ServicePrincipal(principal) => Some(&principal.authority_host),
            Self::ManagedIdentity(_) => None,
        }
    }

    /// Returns the file beside `azure.json` that it was read from.
    pub(super) fn file(&self) -> Option<&Path> {
        let Self::ServicePrincipal(principal) = self else { return None };
        match &principal.proof {
            Proof::Secret(_) => None,
            Proof::Certificate(certificate) => Some(&certificate.path),
            Proof::TokenFile(path) => Some(path),
        }
    }
}

/// Chooses the credential.
///
/// # Errors
/// There is none, fields contradict each other, or one is missing or wrong: every problem, each with its field.
pub(super) fn choose(
    fields: &Fields,
    cloud: &Cloud,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<CredentialConfig, Vec<String>> {
    let mut problems = contradictions(fields);
    let chosen = Choice { fields, cloud, env }.make();
    match chosen {
        Ok(credential) if problems.is_empty() => Ok(credential),
        Ok(_) => Err(problems),
        Err(problem) => {
            problems.push(problem);
            Err(problems)
        }
    }
}

/// Lists the fields that contradict each other.
fn contradictions(fields: &Fields) -> Vec<String> {
    let mut problems = Vec::new();
    if fields.use_workload_identity.0 && fields.use_managed_identity.0 {
        problems
            .push(format!("{WORKLOAD} and {MANAGED} are both true; set the one that is not meant to false"));
    }
    if is_given(&fields.user_assigned_identity) && is_given(&fields.user_assigned_object_id) {
        problems.push(format!("{USER_ASSIGNED} and {OBJECT_ID} name an identity twice; keep one"));
    }
    problems
}

fn is_given(value: &str) -> bool {
    !value.is_empty()
}

/// Returns the client id, or nothing in place of the placeholder.
fn client_id(fields: &Fields) -> &str {
    if fields.client_id == PLACEHOLDER { "" } else { &fields.client_id }
}

struct Choice<'a> {
    fields: &'a Fields,
    cloud: &'a Cloud,
    env: &'a dyn Fn(&str) -> Option<String>,
}

impl Choice<'_> {
    /// Chooses the first credential that the fields, then the environment, describe.
    ///
    /// # Errors
    /// They describe none, or the first one is incomplete or wrong.
    fn make(&self) -> Result<CredentialConfig, String> {
        let fields = self.fields;
        if fields.use_workload_identity.0 {
            return self.workload_identity();
        }
        if fields.use_managed_identity.0 {
            return Ok(CredentialConfig::ManagedIdentity(managed_identity(fields)));
        }
        if is_given(&fields.client_id) && is_given(&fields.client_secret) {
            return self.client_secret();
        }
        if is_given(&fields.certificate_path) {
            return self.client_certificate();
        }
        if is_given(&fields.data_plane_identity_path) {
            return self.data_plane_identity();
        }
        if self.variable("AZURE_FEDERATED_TOKEN_FILE").is_some() {
            return self.workload_identity();
        }
        Err(format!("holds no credential: set {MANAGED} to true, or {CLIENT} and {SECRET} or {CERTIFICATE}"))
    }

    /// Reads the client secret.
    ///
    /// # Errors
    /// A field holds the placeholder, or the tenant is wrong.
    fn client_secret(&self) -> Result<CredentialConfig, String> {
        let (client_id, secret) = (&self.fields.client_id, &self.fields.client_secret);
        if client_id == PLACEHOLDER || **secret == PLACEHOLDER {
            return Err(format!(
                "{CLIENT} and {SECRET} hold the placeholder {PLACEHOLDER:?}, but {MANAGED} is not true"
            ));
        }
        self.principal(&self.fields.tenant_id, client_id, Proof::Secret(Secret::new(secret.to_string())))
    }

    /// Reads the client certificate.
    ///
    /// # Errors
    /// The client id is absent, the certificate cannot be used, or the tenant is wrong.
    fn client_certificate(&self) -> Result<CredentialConfig, String> {
        let fields = self.fields;
        if !is_given(client_id(fields)) {
            return Err(format!("{CERTIFICATE} needs the field {CLIENT}"));
        }
        let path = Path::new(&fields.certificate_path);
        let certificate = certificate::load(path, &fields.certificate_password);
        let certificate = certificate
            .map_err(|problem| format!("the field {CERTIFICATE}: {}: {problem}", path.display()))?;
        self.principal(&fields.tenant_id, &fields.client_id, Proof::Certificate(certificate))
    }

    /// Reads the identity from the file of the data plane.
    ///
    /// # Errors
    /// The file cannot be read, or its content is wrong.
    fn data_plane_identity(&self) -> Result<CredentialConfig, String> {
        let path = Path::new(&self.fields.data_plane_identity_path);
        let identity = data_plane::load(path)
            .map_err(|problem| format!("the field {DATA_PLANE}: {}: {problem}", path.display()))?;
        Ok(CredentialConfig::ServicePrincipal(ServicePrincipal {
            authority_host: identity.authority_host,
            tenant_id: identity.tenant_id,
            client_id: identity.client_id,
            proof: Proof::Certificate(identity.certificate),
        }))
    }

    /// Reads the workload identity from the fields, or else from the environment.
    ///
    /// # Errors
    /// A value is in neither, the token file cannot be read, or the tenant is wrong.
    fn workload_identity(&self) -> Result<CredentialConfig, String> {
        let value = |field: &str, name: &str, variable: &str| {
            let value = if is_given(field) { Some(field.to_owned()) } else { self.variable(variable) };
            value.ok_or(format!("workload identity needs the field {name} or the variable {variable}"))
        };
        let fields = self.fields;
        let file = value(&fields.federated_token_file, TOKEN_FILE, "AZURE_FEDERATED_TOKEN_FILE")?;
        let client_id = value(client_id(fields), CLIENT, "AZURE_CLIENT_ID")?;
        let tenant_id = value(&fields.tenant_id, TENANT, "AZURE_TENANT_ID")?;
        let path = PathBuf::from(&file);
        files::read(&path).map_err(|problem| format!("the federated token file {file}: {problem}"))?;
        self.principal(&tenant_id, &client_id, Proof::TokenFile(path))
    }

    /// Makes the credential of a service principal.
    ///
    /// # Errors
    /// The tenant is absent, or has characters that are in no id and no domain.
    fn principal(&self, tenant: &str, client_id: &str, proof: Proof) -> Result<CredentialConfig, String> {
        let is_plain =
            tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
        if tenant.is_empty() || !is_plain {
            return Err(format!("the field {TENANT} must be the id or a domain of the tenant"));
        }
        Ok(CredentialConfig::ServicePrincipal(ServicePrincipal {
            authority_host: self.cloud.authority_host.clone(),
            tenant_id: tenant.to_owned(),
            client_id: client_id.to_owned(),
            proof,
        }))
    }

    fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }
}

fn managed_identity(fields: &Fields) -> ManagedIdentity {
    match (fields.user_assigned_identity.as_str(), fields.user_assigned_object_id.as_str()) {
        ("", "") => ManagedIdentity::SystemAssigned,
        ("", id) => ManagedIdentity::ObjectId(id.to_owned()),
        (id, _) if id.to_ascii_lowercase().contains("/subscriptions/") => {
            ManagedIdentity::ResourceId(id.to_owned())
        }
        (id, _) => ManagedIdentity::ClientId(id.to_owned()),
    }
}

#[cfg(test)]
mod tests;
