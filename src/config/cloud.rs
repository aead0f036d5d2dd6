//! The clouds of Azure: where Entra ID and the vaults are.
//!
//! Names are those that go-autorest reads, in any letter case. Hosts are from Azure's documentation of Key Vault
//! ("About keys, secrets, and certificates").

use std::path::Path;

use serde::Deserialize;

use super::files;

/// The variable that names the file with the description of an Azure Stack.
const STACK_VARIABLE: &str = "AZURE_ENVIRONMENT_FILEPATH";

/// A cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cloud {
    /// The host of Entra ID, with its port if it has one.
    pub authority_host: String,
    /// Key vaults.
    pub vaults: Service,
    /// Managed HSMs; `None` in a cloud that has none.
    pub managed_hsms: Option<Service>,
}

/// A service whose instances are subdomains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// The domain, such as `vault.azure.net`.
    pub dns_suffix: String,
    /// The resource of tokens for it, such as `https://vault.azure.net`.
    pub resource: String,
}

impl Service {
    fn of(dns_suffix: &str) -> Self {
        Self { dns_suffix: dns_suffix.into(), resource: format!("https://{dns_suffix}") }
    }
}

impl Cloud {
    /// Returns the public cloud.
    pub(super) fn public() -> Self {
        Self::of("login.microsoftonline.com", "vault.azure.net", "managedhsm.azure.net")
    }

    fn of(authority_host: &str, vaults: &str, managed_hsms: &str) -> Self {
        Self {
            authority_host: authority_host.into(),
            vaults: Service::of(vaults),
            managed_hsms: Some(Service::of(managed_hsms)),
        }
    }
}

/// Finds the cloud of that name.
///
/// # Errors
/// The name is unknown or that of a closed cloud, or the file of an Azure Stack is missing or wrong.
pub(super) fn find(name: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Cloud, String> {
    match name.to_ascii_uppercase().as_str() {
        "" | "AZURECLOUD" | "AZUREPUBLICCLOUD" => Ok(Cloud::public()),
        "AZUREUSGOVERNMENT" | "AZUREUSGOVERNMENTCLOUD" => Ok(Cloud::of(
            "login.microsoftonline.us",
            "vault.usgovcloudapi.net",
            "managedhsm.usgovcloudapi.net",
        )),
        "AZURECHINACLOUD" => Ok(Cloud::of("login.chinacloudapi.cn", "vault.azure.cn", "managedhsm.azure.cn")),
        "AZUREGERMANCLOUD" => Err("AzureGermanCloud is closed; its data moved to the public cloud".into()),
        "AZURESTACKCLOUD" => azure_stack(env),
        _ => {
            Err("must be AzurePublicCloud, AzureUSGovernmentCloud, AzureChinaCloud or AzureStackCloud".into())
        }
    }
}

/// The fields of the file that matter here, among many others.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Stack {
    active_directory_endpoint: String,
    #[serde(rename = "keyVaultDNSSuffix")]
    key_vault_dns_suffix: String,
    #[serde(rename = "managedHSMDNSSuffix")]
    managed_hsm_dns_suffix: String,
    resource_identifiers: Resources,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resources {
    #[serde(rename = "keyVault")]
    key_vault: String,
    #[serde(rename = "managedHSM")]
    managed_hsm: String,
}

/// Reads the cloud from the file that the environment names.
///
/// # Errors
/// The variable is absent, or the file cannot be read or parsed.
fn azure_stack(env: &dyn Fn(&str) -> Option<String>) -> Result<Cloud, String> {
    let path = env(STACK_VARIABLE).filter(|path| !path.is_empty());
    let path = path.ok_or(format!("AzureStackCloud needs {STACK_VARIABLE}, the path of its description"))?;
    let named = |problem: String| format!("{STACK_VARIABLE} {path}: {problem}");
    let content = files::read(Path::new(&path)).map_err(named)?;
    parse_stack(&content).map_err(named)
}

/// Reads the description of an Azure Stack.
///
/// # Errors
/// It is not JSON, or a field is missing or wrong: names line and column, or the field.
pub(super) fn parse_stack(content: &[u8]) -> Result<Cloud, String> {
    let stack: Stack = serde_json::from_slice(content).map_err(|error| {
        format!("line {}, column {}: is not the JSON of a cloud", error.line(), error.column())
    })?;
    Ok(Cloud {
        authority_host: authority_host(&stack.active_directory_endpoint, "activeDirectoryEndpoint")?,
        vaults: service(
            ("keyVaultDNSSuffix", &stack.key_vault_dns_suffix),
            ("resourceIdentifiers.keyVault", &stack.resource_identifiers.key_vault),
        )?,
        managed_hsms: if is_given(&stack.managed_hsm_dns_suffix) {
            Some(service(
                ("managedHSMDNSSuffix", &stack.managed_hsm_dns_suffix),
                ("resourceIdentifiers.managedHSM", &stack.resource_identifiers.managed_hsm),
            )?)
        } else {
            None
        },
    })
}

/// Returns false for an empty value and for `N/A`, by which these files say that there is no such service.
fn is_given(value: &str) -> bool {
    !matches!(value, "" | "N/A")
}

/// Checks the domain and the resource of a service of an Azure Stack.
///
/// # Errors
/// The domain is absent or has other characters than a DNS name, or the resource is not an https URL.
fn service((suffix_field, suffix): (&str, &str), (field, resource): (&str, &str)) -> Result<Service, String> {
    let is_plain = suffix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    if !is_given(suffix) || !is_plain || suffix.starts_with('.') {
        return Err(format!(
            "the field {suffix_field} must be a domain such as vault.local.azurestack.external"
        ));
    }
    let resource = resource.trim_end_matches('/');
    match reqwest::Url::parse(resource) {
        Ok(url) if url.scheme() == "https" => {
            Ok(Service { dns_suffix: suffix.to_ascii_lowercase(), resource: resource.into() })
        }
        _ => Err(format!("the field {field} must be an https URL")),
    }
}

/// Returns the host, with its port if it has one, of the URL of Entra ID in that field.
///
/// # Errors
/// It is not an https URL, or has a path, as AD FS does.
pub(super) fn authority_host(endpoint: &str, field: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(endpoint).ok().filter(|url| url.scheme() == "https");
    let url = url.ok_or(format!("the field {field} must be an https URL"))?;
    match (url.path(), url.host_str(), url.port()) {
        ("/", Some(host), None) => Ok(host.to_owned()),
        ("/", Some(host), Some(port)) => Ok(format!("{host}:{port}")),
        _ => Err(format!("the field {field} has a path, as AD FS does; only Entra ID is supported")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds a cloud without any variable in the environment.
    ///
    /// # Errors
    /// The name is unknown, that of a closed cloud, or AzureStackCloud.
    fn named(name: &str) -> Result<Cloud, String> {
        find(name, &|_| None)
    }

    #[test]
    fn every_name_of_the_go_plugin_is_read_in_any_case() {
        for (name, authority, vaults, hsms) in [
            ("", "login.microsoftonline.com", "vault.azure.net", "managedhsm.azure.net"),
            ("AzureCloud", "login.microsoftonline.com", "vault.azure.net", "managedhsm.azure.net"),
            ("azurepubliccloud", "login.microsoftonline.com", "vault.azure.net", "managedhsm.azure.net"),
            (
                "AZUREUSGOVERNMENT",
                "login.microsoftonline.us",
                "vault.usgovcloudapi.net",
                "managedhsm.usgovcloudapi.net",
            ),
            (
                "AzureUSGovernmentCloud",
                "login.microsoftonline.us",
                "vault.usgovcloudapi.net",
                "managedhsm.usgovcloudapi.net",
            ),
            ("AzureChinaCloud", "login.chinacloudapi.cn", "vault.azure.cn", "managedhsm.azure.cn"),
        ] {
            assert_eq!(named(name).unwrap(), Cloud::of(authority, vaults, hsms), "{name}");
        }
        assert_eq!(named("").unwrap().vaults.resource, "https://vault.azure.net");
    }

    #[test]
    fn a_closed_and_an_unknown_cloud_are_refused_with_the_reason() {
        assert!(named("AzureGermanCloud").unwrap_err().contains("closed"));
        assert!(named("AzureMoonCloud").unwrap_err().contains("AzureStackCloud"));
        assert!(named("AzureStackCloud").unwrap_err().contains(STACK_VARIABLE));
    }

    const STACK: &str = r#"{"name":"x","activeDirectoryEndpoint":"https://login.local.azurestack.external/",
        "keyVaultDNSSuffix":"vault.local.azurestack.external","managedHSMDNSSuffix":"N/A",
        "resourceIdentifiers":{"keyVault":"https://vault.local.azurestack.external","graph":"x"}}"#;

    #[test]
    fn an_azure_stack_is_read_from_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stack.json");
        std::fs::write(&path, STACK).unwrap();
        let path = path.display().to_string();
        let cloud = find("azurestackcloud", &|name| (name == STACK_VARIABLE).then(|| path.clone())).unwrap();
        assert_eq!(cloud.authority_host, "login.local.azurestack.external");
        assert_eq!(cloud.vaults, Service::of("vault.local.azurestack.external"));
        assert_eq!(cloud.managed_hsms, None);
    }

    #[test]
    fn what_an_azure_stack_s_file_lacks_is_named() {
        for (from, to, field) in [
            ("https://login.local.azurestack.external/", "", "activeDirectoryEndpoint"),
            ("https://login.local.azurestack.external/", "http://login.x/", "activeDirectoryEndpoint"),
            ("https://login.local.azurestack.external/", "https://x/adfs", "AD FS"),
            ("\"vault.local.azurestack.external\"", "\"\"", "keyVaultDNSSuffix"),
            ("\"vault.local.azurestack.external\"", "\"https://x\"", "keyVaultDNSSuffix"),
            ("https://vault.local.azurestack.external", "", "resourceIdentifiers.keyVault"),
            ("\"N/A\"", "\"hsm.local\"", "resourceIdentifiers.managedHSM"),
            ("{\"name\"", "[", "line 1"),
        ] {
            let error = parse_stack(STACK.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert!(error.contains(field), "{from} -> {to}: {error}");
        }
    }
}
