//! What reads bytes that others wrote. For `fuzz/` only, with the build feature `fuzzing`.
//!
//! Each function may refuse its input, but neither panic nor break what it promises.

use std::sync::{Arc, LazyLock};

use tokio::runtime::Builder;

use crate::benchmark::{Through, backend};
use crate::cli::fuzzing as cli;
use crate::config::fuzzing as config;
use crate::grpc::Backend;
use crate::grpc::fuzzing as grpc;
use crate::kms::Encoding;

/// `azure.json`, JSON or YAML.
pub fn azure_json(content: &[u8]) {
    config::azure_json(content);
}

/// A client certificate, PKCS#12 or PEM.
///
/// # Panics
/// An accepted one has no certificate.
pub fn certificate(content: &[u8], password: &str) {
    if let Ok(certificates) = config::certificate(content, password) {
        assert!(certificates > 0);
    }
}

/// The description of an Azure Stack.
///
/// # Panics
/// An accepted one has no host of Entra ID.
pub fn azure_stack(content: &[u8]) {
    if let Ok(authority_host) = config::azure_stack(content) {
        assert!(!authority_host.is_empty());
    }
}

/// The file of a data-plane identity.
pub fn data_plane_identity(content: &[u8]) {
    config::data_plane_identity(content);
}

/// A stored ciphertext.
///
/// # Panics
/// What is taken for our own text is not what we would write.
pub fn ciphertext(content: &[u8]) {
    if let Ok((Encoding::Text, bytes)) = Encoding::decode(content) {
        assert_eq!(Encoding::encode(&bytes), content);
    }
}

/// The bytes of a connection, in pieces of that size.
pub fn connection(bytes: &[u8], piece: usize) {
    grpc::connection(bytes, piece.max(1));
}

/// The bytes of a connection to the whole server, in pieces of that size. The vault behind it answers at once.
///
/// # Panics
/// The server ends with its client.
#[allow(clippy::expect_used)]
pub fn grpc_connection(bytes: &[u8], piece: usize) {
    static BACKEND: LazyLock<Arc<Backend>> = LazyLock::new(|| backend(Through::Handlers).0);
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(grpc::server(bytes, piece.max(1), BACKEND.clone()));
}

/// The arguments of the command line, one a line.
///
/// # Panics
/// What is accepted has a form that is not accepted, or that is not its own form.
pub fn flags(arguments: &[u8]) {
    cli::flags(arguments);
}
