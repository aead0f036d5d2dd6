//! No PKCS #12 or PEM file makes the parser panic. The password is that of the files in `tests/certificates`.
#![no_main]

libfuzzer_sys::fuzz_target!(|content: &[u8]| azure_kms_provider::fuzzing::certificate(content, "p4ss w0rd"));
