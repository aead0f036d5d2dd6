//! Recovery levels: what a vault does with a deleted key.

use serde::{Deserialize, Serialize};

/// The recovery level of a key (`DeletionRecoveryLevel` of Key Vault's API reference). In Azure it follows from the
/// vault's soft delete and purge protection, for all of its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecoveryLevel {
    /// Deleted at once: the vault has no soft delete.
    Purgeable,
    /// Recoverable for 90 days, unless it is purged.
    #[default]
    #[serde(rename = "Recoverable+Purgeable")]
    RecoverablePurgeable,
    /// Recoverable for 90 days, by purge protection.
    Recoverable,
    /// Recoverable for 90 days, and the subscription cannot be cancelled.
    #[serde(rename = "Recoverable+ProtectedSubscription")]
    RecoverableProtectedSubscription,
    /// Recoverable for 7 to 89 days, unless it is purged.
    #[serde(rename = "CustomizedRecoverable+Purgeable")]
    CustomizedRecoverablePurgeable,
    /// Recoverable for 7 to 89 days, by purge protection.
    CustomizedRecoverable,
    /// Recoverable for 7 to 89 days, and the subscription cannot be cancelled.
    #[serde(rename = "CustomizedRecoverable+ProtectedSubscription")]
    CustomizedRecoverableProtectedSubscription,
}

impl RecoveryLevel {
    /// Returns the days for which a deleted key is recoverable (`recoverableDays`): 90 by default; for the customized
    /// levels, which have 7 to 89, the fewest.
    pub(crate) fn days(self) -> Option<u64> {
        match self {
            Self::Purgeable => None,
            Self::RecoverablePurgeable | Self::Recoverable | Self::RecoverableProtectedSubscription => {
                Some(90)
            }
            Self::CustomizedRecoverablePurgeable
            | Self::CustomizedRecoverable
            | Self::CustomizedRecoverableProtectedSubscription => Some(7),
        }
    }
}
