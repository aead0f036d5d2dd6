//! The Entra ID that receives a request: that of one cloud, or, behind a proxy, that of any.

use crate::clouds::{self, Cloud, PUBLIC};

/// The Entra ID of one cloud, or of all of them.
#[derive(Clone, Copy)]
pub(crate) struct Authority(Option<&'static Cloud>);

impl Authority {
    /// Returns that of one cloud.
    pub(crate) fn of(cloud: &'static Cloud) -> Self {
        Self(Some(cloud))
    }

    /// Returns that of all clouds, for requests without a host of Entra ID.
    pub(crate) fn any() -> Self {
        Self(None)
    }

    /// Returns the clouds that it belongs to.
    fn clouds(self) -> impl Iterator<Item = &'static Cloud> {
        clouds::ALL.into_iter().filter(move |cloud| self.0.is_none_or(|only| only == *cloud))
    }

    /// Returns the host that its responses name.
    pub(super) fn host(self) -> &'static str {
        self.0.unwrap_or(&PUBLIC).authority_host()
    }

    /// Reports whether it has that host, in lower case.
    pub(super) fn has_host(self, host: &str) -> bool {
        self.clouds().any(|cloud| cloud.authority_hosts.contains(&host))
    }

    /// Reports whether the resource is not one of another cloud.
    pub(super) fn may_know(self, resource: &str) -> bool {
        let foreign = clouds::ALL.into_iter().any(|cloud| cloud.has_resource(resource));
        !foreign || self.clouds().any(|cloud| cloud.has_resource(resource))
    }

    /// Reports whether the URL is that of a token endpoint of the tenant, v1 or v2.
    pub(super) fn has_token_endpoint(self, url: &str, tenant: &str) -> bool {
        let path = url.split('?').next().unwrap_or_default().to_ascii_lowercase();
        let Some((host, path)) = path.strip_prefix("https://").and_then(|rest| rest.split_once('/')) else {
            return false;
        };
        let endpoint = path.strip_prefix(&tenant.to_ascii_lowercase()).unwrap_or_default();
        self.has_host(host) && ["/oauth2/v2.0/token", "/oauth2/token"].contains(&endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clouds::{CHINA, US_GOVERNMENT};

    #[test]
    fn token_endpoints_are_those_of_the_tenant_in_the_cloud() {
        let endpoint = |url: &str| Authority::of(&CHINA).has_token_endpoint(url, "T");
        assert!(endpoint("https://login.chinacloudapi.cn/t/oauth2/v2.0/token"));
        assert!(endpoint("https://login.partner.microsoftonline.cn/t/oauth2/token?api-version=1.0"));
        for url in [
            "https://login.microsoftonline.com/t/oauth2/v2.0/token",
            "https://login.chinacloudapi.cn/u/oauth2/v2.0/token",
            "https://login.chinacloudapi.cn/t",
            "http://login.chinacloudapi.cn/t/oauth2/v2.0/token",
        ] {
            assert!(!endpoint(url), "{url}");
        }
        assert!(Authority::any().has_token_endpoint("https://login.microsoftonline.us/t/oauth2/token", "T"));
    }

    #[test]
    fn a_cloud_knows_its_own_vaults_and_what_is_of_no_cloud() {
        let government = Authority::of(&US_GOVERNMENT);
        assert!(government.may_know("https://vault.usgovcloudapi.net"));
        assert!(government.may_know("https://management.azure.com"));
        assert!(!government.may_know("https://vault.azure.net"));
        assert!(Authority::any().may_know("https://vault.azure.net"));
    }
}
