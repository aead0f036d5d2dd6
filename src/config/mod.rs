//! The configuration: validated once, before anything starts. Everything later trusts it.
//!
//! Read by `app` from the flags, the environment and `azure.json`. Every problem is reported at once.

mod access;
mod azure_json;
mod certificate;
mod cloud;
mod credential;
mod data_plane;
mod duration;
mod environment_warnings;
mod files;
#[cfg(any(test, feature = "benchmark"))]
mod flag_defaults;
mod integer;
mod key;
mod listen;
mod load;
mod network;
mod problems;
mod secret;
mod supervision;
mod telemetry;
mod types;
mod values;
mod warnings;

pub(crate) use access::{Access, AccessSource, Contents};
pub(crate) use certificate::ClientCertificate;
pub(crate) use cloud::Cloud;
pub(crate) use credential::{CredentialConfig, ManagedIdentity, Proof, ServicePrincipal};
pub(crate) use files::read as read_file;
pub(crate) use key::{KeyConfig, Operations, check_key_name, check_key_version, check_vault_name, trim};
pub(crate) use listen::ListenAddr;
pub(crate) use load::load;
pub(crate) use network::NetworkConfig;
pub(crate) use problems::Problems;
pub(crate) use supervision::{LimitAction, SupervisionConfig};
pub(crate) use telemetry::{LogConfig, TracesConfig};
#[cfg(any(test, feature = "benchmark"))]
pub(crate) use types::AdmissionConfig;
pub(crate) use types::{AssertionConfig, Config, OnOutage, StatusPolicy};
pub(crate) use values::{any_duration, audit_log, port, positive_duration};

/// The readers that `crate::fuzzing` drives.
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing {
    use std::path::Path;

    use super::{azure_json, certificate, cloud, credential, data_plane};

    pub(crate) fn azure_json(content: &[u8]) {
        if let Ok(fields) = azure_json::Fields::parse(content) {
            let _ = credential::choose(&fields, &cloud::Cloud::public(), &|_| None);
        }
    }

    /// Returns the length of the chain.
    ///
    /// # Errors
    /// The content is refused.
    pub(crate) fn certificate(content: &[u8], password: &str) -> Result<usize, String> {
        certificate::parse(content, password).map(|(_, chain)| chain.len())
    }

    /// Returns the host of Entra ID.
    ///
    /// # Errors
    /// The content is refused.
    pub(crate) fn azure_stack(content: &[u8]) -> Result<String, String> {
        cloud::parse_stack(content).map(|cloud| cloud.authority_host)
    }

    pub(crate) fn data_plane_identity(content: &[u8]) {
        let _ = data_plane::parse(content, Path::new("/identity.json"));
    }
}

#[cfg(test)]
mod tests;
