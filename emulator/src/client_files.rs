//! The files that clients read: `emulator.json`, `azure.json`, `azure-msi.json` and `args`.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::clouds::PUBLIC;
use crate::error::Error;
use crate::files::write_private;
use crate::state::State;
use crate::state_file::FIRST_KEY;

/// Addresses, identities and files that clients need: the content of `emulator.json`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Info {
    /// Host of the vault's URL in the public cloud.
    pub vault_host: String,
    /// Address at which the emulator serves that host.
    pub vault_addr: SocketAddr,
    /// Host of the managed HSM's URL in the public cloud; it has the same address and the same keys.
    pub managed_hsm_host: String,
    /// Host of Entra ID's URL in the public cloud.
    pub authority_host: String,
    /// Address at which the emulator serves that host.
    pub authority_addr: SocketAddr,
    /// Base URL of IMDS.
    pub imds_url: String,
    /// Base URL of the proxy for proxy mode.
    #[serde(default)]
    pub proxy_url: String,
    /// Base URL of the control API.
    pub control_url: String,
    /// The tenant's id.
    pub tenant_id: String,
    /// The client id of the application, whose service principal clients use.
    pub client_id: String,
    /// The application's first secret; empty when it has none.
    pub client_secret: String,
    /// The client id of the machine's system-assigned managed identity.
    pub system_assigned_client_id: String,
    /// The client id of a user-assigned managed identity.
    pub user_assigned_client_id: String,
    /// The Azure resource id of the same identity.
    pub user_assigned_resource_id: String,
    /// The name of the key that exists from the start.
    pub key_name: String,
    /// Its versions at the start, oldest first.
    pub key_versions: Vec<String>,
    /// The path of the CA certificate (PEM) that clients have to trust.
    pub ca_file: String,
}

impl fmt::Debug for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Info").field("vault_addr", &self.vault_addr).finish_non_exhaustive()
    }
}

impl Info {
    /// Collects them, with the addresses of the servers.
    pub(crate) fn new(state: &State, dir: &Path, [tls, imds, control, proxy]: [SocketAddr; 4]) -> Self {
        let directory = state.directory.clone();
        let credentials = state.credentials();
        let secret = credentials.secrets.first();
        let versions = state.keys().versions(FIRST_KEY);
        Self {
            vault_host: PUBLIC.vault_host(),
            vault_addr: tls,
            managed_hsm_host: PUBLIC.managed_hsm_host().unwrap_or_default(),
            authority_host: PUBLIC.authority_host().into(),
            authority_addr: tls,
            imds_url: format!("http://{imds}"),
            proxy_url: format!("http://{proxy}"),
            control_url: format!("http://{control}"),
            tenant_id: directory.tenant_id,
            client_id: directory.client_id,
            client_secret: secret.map(|secret| secret.value.clone()).unwrap_or_default(),
            system_assigned_client_id: directory.system_assigned_client_id,
            user_assigned_client_id: directory.user_assigned_client_id,
            user_assigned_resource_id: directory.user_assigned_resource_id,
            key_name: FIRST_KEY.into(),
            key_versions: versions.into_iter().map(|found| found.version.version).collect(),
            ca_file: dir.join("ca.pem").display().to_string(),
        }
    }

    /// Returns the host of the vault's URL in the cloud whose vaults have that DNS suffix.
    pub fn vault_host_in(&self, suffix: &str) -> String {
        let vault = self.vault_host.split('.').next().unwrap_or_default();
        format!("{vault}.{suffix}")
    }

    /// Writes the files; `emulator.json` comes last, so that who sees it finds the others.
    ///
    /// # Errors
    /// A file cannot be written; names the file.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), Error> {
        let principal = json!({
            "cloud": "AzurePublicCloud",
            "tenantId": self.tenant_id,
            "aadClientId": self.client_id,
            "aadClientSecret": self.client_secret,
        });
        let identity = json!({
            "cloud": "AzurePublicCloud",
            "tenantId": self.tenant_id,
            "aadClientId": "msi",
            "aadClientSecret": "msi",
            "useManagedIdentityExtension": true,
            "userAssignedIdentityID": "",
        });
        write_private(&dir.join("azure.json"), format!("{principal:#}\n").as_bytes())?;
        write_private(&dir.join("azure-msi.json"), format!("{identity:#}\n").as_bytes())?;
        write_private(&dir.join("args"), self.args(dir).as_bytes())?;
        let info = serde_json::to_string_pretty(self).map_err(|error| Error(error.to_string()))?;
        write_private(&dir.join("emulator.json"), info.as_bytes())
    }

    /// Returns the daemon's flags, one a line.
    fn args(&self, dir: &Path) -> String {
        let vault = self.vault_host.split('.').next().unwrap_or_default();
        let version = self.key_versions.last().map(String::as_str).unwrap_or_default();
        let connect = |host: &str, addr: SocketAddr| format!("--connect-to={host}={addr}");
        let flags = [
            format!("--keyvault-name={vault}"),
            format!("--key-name={}", self.key_name),
            format!("--key-version={version}"),
            format!("--config-file-path={}", dir.join("azure.json").display()),
            connect(&self.vault_host, self.vault_addr),
            connect(&self.authority_host, self.authority_addr),
            format!("--ca-file={}", self.ca_file),
        ];
        flags.iter().map(|flag| escape_for_xargs(flag) + "\n").collect()
    }
}

/// Escapes the word for xargs. Most words need nothing.
fn escape_for_xargs(word: &str) -> String {
    let special = |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '\\');
    word.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_xargs_would_take_apart_is_escaped() {
        assert_eq!(escape_for_xargs("--ca-file=/tmp/a-b_c.1/ca.pem"), "--ca-file=/tmp/a-b_c.1/ca.pem");
        assert_eq!(escape_for_xargs(r#"/it's a "d\ir""#), r#"/it\'s\ a\ \"d\\ir\""#);
    }
}
