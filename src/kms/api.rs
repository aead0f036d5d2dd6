//! The two KMS APIs of Kubernetes and their methods, with their names in metrics, traces, logs and the audit log.

/// A KMS API of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    /// KMS v1, the protobuf package `v1beta1`.
    V1,
    /// KMS v2, the protobuf package `v2`.
    V2,
}

impl Api {
    /// Returns the name that labels and messages use.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }

    /// Returns the other API.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::V1 => Self::V2,
            Self::V2 => Self::V1,
        }
    }
}

/// A method of `KeyManagementService`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// `Version`, of v1 only.
    Version,
    /// `Status`, of v2 only.
    Status,
    /// `Encrypt`, of both.
    Encrypt,
    /// `Decrypt`, of both.
    Decrypt,
}

impl Method {
    /// Returns the name in lower case.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Status => "status",
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
        }
    }
}
