//! The parsers of untrusted bytes. For `fuzz/` only, with the feature `fuzzing`.
//!
//! Each function may refuse its input. It panics when a property does not hold.

use std::sync::{Arc, LazyLock};

use tokio::runtime::Builder;

use crate::benchmark::{CallPath, backend};
use crate::cli::fuzzing as cli;
use crate::config::fuzzing as config;
use crate::grpc::Backend;
use crate::grpc::fuzzing as grpc;
use crate::kms::Encoding;

/// Parses `azure.json`, JSON or YAML.
pub fn azure_json(content: &[u8]) {
    config::azure_json(content);
}

/// Parses a client certificate, PKCS #12 or PEM.
///
/// # Panics
/// The input is accepted, but holds no certificate.
pub fn certificate(content: &[u8], password: &str) {
    if let Ok(certificates) = config::certificate(content, password) {
        assert!(certificates > 0);
    }
}

/// Parses the description of an Azure Stack.
///
/// # Panics
/// The input is accepted, but holds no host of Entra ID.
pub fn azure_stack(content: &[u8]) {
    if let Ok(authority_host) = config::azure_stack(content) {
        assert!(!authority_host.is_empty());
    }
}

/// Parses the file of a data-plane identity.
pub fn data_plane_identity(content: &[u8]) {
    config::data_plane_identity(content);
}

/// Decodes a stored ciphertext.
///
/// # Panics
/// The input is decoded as text, but encodes to other bytes.
pub fn ciphertext(content: &[u8]) {
    if let Ok((Encoding::Text, bytes)) = Encoding::decode(content) {
        assert_eq!(Encoding::encode(&bytes), content);
    }
}

/// Rewrites `:authority` in the bytes of a connection, which arrive in pieces of that size.
pub fn connection(bytes: &[u8], piece: usize) {
    grpc::connection(bytes, piece.max(1));
}

/// Serves a connection with the whole server, in front of a vault that answers at once. The bytes arrive in pieces of that
/// size.
///
/// # Panics
/// A client can end the server, or keep its connection open.
#[allow(clippy::expect_used)]
pub fn grpc_connection(bytes: &[u8], piece: usize) {
    static BACKEND: LazyLock<Arc<Backend>> = LazyLock::new(|| backend(CallPath::Direct).0);
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(grpc::server(bytes, piece.max(1), BACKEND.clone()));
}

/// Parses the arguments of a command line, one on each line.
///
/// # Panics
/// The arguments are accepted, but their normal form is not, or it has another normal form.
pub fn flags(arguments: &[u8]) {
    cli::flags(arguments);
}
