//! What becomes of a deleted key.

use serde::{Deserialize, Serialize};

/// Whether a deleted key can be recovered, and purged before its time, by Key Vault's own names. In Azure it is the
/// vault's soft delete and purge protection that set it, for all of its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecoveryLevel {
    /// Gone at once: the vault has no soft delete.
    Purgeable,
    /// For 90 days, unless it is purged.
    #[default]
    #[serde(rename = "Recoverable+Purgeable")]
    RecoverablePurgeable,
    /// For 90 days, by purge protection.
    Recoverable,
    /// For 90 days, and the subscription cannot be cancelled.
    #[serde(rename = "Recoverable+ProtectedSubscription")]
    RecoverableProtectedSubscription,
    /// For fewer days, unless it is purged.
    #[serde(rename = "CustomizedRecoverable+Purgeable")]
    CustomizedRecoverablePurgeable,
    /// For fewer days, by purge protection.
    CustomizedRecoverable,
    /// For fewer days, and the subscription cannot be cancelled.
    #[serde(rename = "CustomizedRecoverable+ProtectedSubscription")]
    CustomizedRecoverableProtectedSubscription,
}

impl RecoveryLevel {
    /// For how long (`recoverableDays`). Customized are the levels below the 90 days of a vault that nobody set; the
    /// fewest are 7.
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
