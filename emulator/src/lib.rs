//! Azure Key Vault keys, Entra ID and IMDS on loopback.
