//! No bytes of a client make the whole server panic, or keep the connection. The first says how they come.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some((piece, bytes)) = bytes.split_first() {
        azure_kms_provider::fuzzing::grpc_connection(bytes, usize::from(*piece));
    }
});
