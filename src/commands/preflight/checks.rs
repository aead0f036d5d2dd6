//! The table of all checks: their names, their order, and what each of them needs.

/// A condition of a check: none of these checks failed, or could not be made since another one failed.
pub(super) struct Need {
    pub(super) checks: &'static [Check],
    /// The reason for skipping the check otherwise, after "since"; `None` for the failure itself.
    pub(super) otherwise: Option<&'static str>,
}

/// The three checks of the way to Entra ID or IMDS: name, TCP, TLS.
pub(super) const ISSUER: [Check; 3] = [Check::IssuerName, Check::IssuerTcp, Check::IssuerTls];
/// The three checks of the way to the vault.
pub(super) const VAULT: [Check; 3] = [Check::VaultName, Check::VaultTcp, Check::VaultTls];
/// The checks of a key that may be read.
pub(super) const KEY: [Check; 6] = [
    Check::Key,
    Check::KeyEnabled,
    Check::KeyValidity,
    Check::KeyType,
    Check::KeyOperations,
    Check::KeyRecovery,
];

const FILES: Need = need(&[Check::AzureJson, Check::CaFiles], "a file is missing or wrong");
const ISSUER_ANSWERS: Need = need(&ISSUER, "its issuer does not answer");
const TOKEN_EXISTS: Need = need(&ISSUER, "there is no token");
const VAULT_ANSWERS: Need = need(&VAULT, "the vault does not answer");
const SOCKET_IS_FREE: Need = need(&[Check::SocketFolder, Check::Socket], "the socket is not free");

const fn need(checks: &'static [Check], otherwise: &'static str) -> Need {
    Need { checks, otherwise: Some(otherwise) }
}

const fn not_failed(checks: &'static [Check]) -> Need {
    Need { checks, otherwise: None }
}

macro_rules! table {
    ($($check:ident $name:literal needs [$($need:expr),*];)*) => {
        /// A check. Every result has one, so that none can be missing from the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
        pub(super) enum Check { $($check),* }

        impl Check {
            /// Every check, in the order of the report.
            pub(super) const ALL: &[Self] = &[$(Self::$check),*];

            /// Returns the name, which is the same in every release: scripts look for it.
            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$check => $name),* }
            }

            /// Returns the conditions. The first one that is not met is the reason for skipping the check.
            pub(super) fn needs(self) -> &'static [Need] {
                match self { $(Self::$check => const { &[$($need),*] }),* }
            }
        }
    };
}

table! {
    AzureJson "azure-json" needs [];
    CaFiles "ca-files" needs [];
    Permissions "permissions" needs [FILES];
    AuditLog "audit-log" needs [];
    Advice "advice" needs [];
    IssuerName "issuer-name" needs [FILES];
    IssuerTcp "issuer-tcp" needs [not_failed(&[Check::IssuerName])];
    IssuerTls "issuer-tls" needs [not_failed(&[Check::IssuerTcp])];
    VaultName "vault-name" needs [FILES];
    VaultTcp "vault-tcp" needs [not_failed(&[Check::VaultName])];
    VaultTls "vault-tls" needs [not_failed(&[Check::VaultTcp])];
    Clock "clock" needs [FILES];
    Token "token" needs [FILES, ISSUER_ANSWERS];
    VaultAccess "vault-access" needs [FILES, TOKEN_EXISTS, not_failed(&[Check::Token]), VAULT_ANSWERS];
    Key "key" needs [not_failed(&[Check::VaultAccess])];
    KeyEnabled "key-enabled" needs [not_failed(&[Check::Key])];
    KeyValidity "key-validity" needs [not_failed(&[Check::KeyEnabled])];
    KeyType "key-type" needs [not_failed(&[Check::KeyEnabled])];
    KeyOperations "key-operations" needs [not_failed(&[Check::KeyEnabled])];
    KeyRecovery "key-recovery" needs [not_failed(&[Check::KeyEnabled])];
    RoundTripV2 "round-trip-v2" needs [not_failed(&[Check::VaultAccess]), not_failed(&KEY)];
    RoundTripV1 "round-trip-v1" needs [not_failed(&[Check::VaultAccess]), not_failed(&KEY)];
    SocketFolder "socket-folder" needs [];
    Socket "socket" needs [];
    Ports "ports" needs [FILES, SOCKET_IS_FREE];
    DaemonStatus "daemon-status" needs [];
    DaemonV2 "daemon-v2" needs [not_failed(&[Check::DaemonStatus])];
    DaemonV1 "daemon-v1" needs [not_failed(&[Check::DaemonStatus])];
    EncryptionConfig "encryption-config" needs [];
    EncryptionEndpoint "encryption-config-endpoint" needs [not_failed(&[Check::EncryptionConfig])];
    EncryptionApiVersion "encryption-config-api-version" needs [not_failed(&[Check::EncryptionEndpoint])];
    EncryptionOrder "encryption-config-order" needs [not_failed(&[Check::EncryptionEndpoint])];
    EncryptionCacheSize "encryption-config-cachesize" needs [not_failed(&[Check::EncryptionEndpoint])];
    EncryptionNames "encryption-config-names" needs [not_failed(&[Check::EncryptionEndpoint])];
    EncryptionTimeout "encryption-config-timeout" needs [not_failed(&[Check::EncryptionEndpoint])];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_needs_only_those_before_it() {
        for check in Check::ALL {
            let mut needed = check.needs().iter().flat_map(|need| need.checks);
            assert!(needed.all(|needed| needed < check), "{check:?}");
        }
    }

    #[test]
    fn every_check_of_the_key_is_known_as_one() {
        let is_of_the_key = |check: &&Check| check.name() == "key" || check.name().starts_with("key-");
        assert!(Check::ALL.iter().filter(is_of_the_key).eq(&KEY));
    }
}
