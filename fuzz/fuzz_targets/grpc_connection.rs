//! No bytes of a client make the server panic or keep the connection open. The first byte is the size of the pieces in which
//! the others arrive.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some((piece, bytes)) = bytes.split_first() {
        azure_kms_provider::fuzzing::grpc_connection(bytes, usize::from(*piece));
    }
});
