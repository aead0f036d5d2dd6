//! azure-kms-provider.
fn main() {}
