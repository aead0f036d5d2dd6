//! The KMS contract, generated from `proto/`: messages, clients and servers.
#![allow(missing_docs, unreachable_pub)]

/// KMS v1.
pub mod v1beta1 {
    tonic::include_proto!("v1beta1");
}

/// KMS v2.
pub mod v2 {
    tonic::include_proto!("v2");
}
