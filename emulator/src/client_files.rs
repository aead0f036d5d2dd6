//! The files that clients read: `emulator.json`, `azure.json`, `azure-msi.json` and `args`.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::Error;
use crate::clouds::PUBLIC;
use crate::state::State;
use crate::state_file::{FIRST_KEY, write_private};

/// What clients need to know.
#[derive(Clone, Serialize, Deserialize)]
pub struct Info {
    /// Host of the vault's URL.
    pub vault_host: String,
    /// Where that host is.
    pub vault_addr: SocketAddr,
    /// Host of the managed HSM's URL; it has the same address and the same keys.
    pub managed_hsm_host: String,
    /// Host of Entra ID's URL.
    pub authority_host: String,
    /// Where that host is.
    pub authority_addr: SocketAddr,
    /// Base URL of IMDS.
    pub imds_url: String,
    /// Base URL of the proxy for proxy mode.
    #[serde(default)]
    pub proxy_url: String,
    /// Base URL of the control API.
    pub control_url: String,
    /// The tenant.
    pub tenant_id: String,
    /// The service principal.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// The managed identity of the machine.
    pub system_assigned_client_id: String,
    /// Another managed identity.
    pub user_assigned_client_id: String,
    /// The same by its resource id.
    pub user_assigned_resource_id: String,
    /// The key that is there from the start.
    pub key_name: String,
    /// Its versions at the start, oldest first.
    pub key_versions: Vec<String>,
    /// The root to trust.
    pub ca_file: String,
}

impl fmt::Debug for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Info").field("vault_addr", &self.vault_addr).finish_non_exhaustive()
    }
}

impl Info {
    pub(crate) fn new(state: &State, dir: &Path, [tls, imds, control, proxy]: [SocketAddr; 4]) -> Self {
        let directory = state.directory.clone();
        let registered = state.registered();
        let secret = registered.secrets.first();
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

    /// Host of the vault's URL in the cloud whose vaults end with that suffix.
    pub fn vault_host_in(&self, suffix: &str) -> String {
        let vault = self.vault_host.split('.').next().unwrap_or_default();
        format!("{vault}.{suffix}")
    }

    /// Writes the files; `emulator.json` comes last.
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

    /// One flag of the daemon a line.
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
        flags.iter().map(|flag| for_xargs(flag) + "\n").collect()
    }
}

/// The word as xargs reads it. Most stay as they are.
fn for_xargs(word: &str) -> String {
    let special = |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '\\');
    word.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_xargs_would_take_apart_is_escaped() {
        assert_eq!(for_xargs("--ca-file=/tmp/a-b_c.1/ca.pem"), "--ca-file=/tmp/a-b_c.1/ca.pem");
        assert_eq!(for_xargs(r#"/it's a "d\ir""#), r#"/it\'s\ a\ \"d\\ir\""#);
    }
}
