//! azure-kms-provider.
