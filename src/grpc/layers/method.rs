//! The methods of both services, by their paths.

use crate::kms::{Api, Method};
use crate::proto::{v1beta1, v2};

/// Returns the method that a path names, if it names one.
pub(in crate::grpc) fn of(path: &str) -> Option<(Api, Method)> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let api = match service {
        v1beta1::key_management_service_server::SERVICE_NAME => Api::V1,
        v2::key_management_service_server::SERVICE_NAME => Api::V2,
        _ => return None,
    };
    match (api, method) {
        (_, "Encrypt") => Some((api, Method::Encrypt)),
        (_, "Decrypt") => Some((api, Method::Decrypt)),
        (Api::V1, "Version") => Some((api, Method::Version)),
        (Api::V2, "Status") => Some((api, Method::Status)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_methods_of_both_services_are_known_and_nothing_else_is_one() {
        for (path, known) in [
            ("/v1beta1.KeyManagementService/Encrypt", Some((Api::V1, Method::Encrypt))),
            ("/v1beta1.KeyManagementService/Version", Some((Api::V1, Method::Version))),
            ("/v2.KeyManagementService/Decrypt", Some((Api::V2, Method::Decrypt))),
            ("/v2.KeyManagementService/Status", Some((Api::V2, Method::Status))),
            ("/v2.KeyManagementService/Version", None),
            ("/v3.KeyManagementService/Encrypt", None),
            ("/Encrypt", None),
            ("", None),
        ] {
            assert_eq!(of(path), known, "{path}");
        }
    }
}
