//! The messages, clients and servers of the KMS APIs, generated from `proto/`.
#![allow(missing_docs, unreachable_pub, clippy::missing_errors_doc)]

/// KMS v1 (`v1beta1`).
pub mod v1beta1 {
    tonic::include_proto!("v1beta1");
}

/// KMS v2 (`v2`).
pub mod v2 {
    tonic::include_proto!("v2");
}
