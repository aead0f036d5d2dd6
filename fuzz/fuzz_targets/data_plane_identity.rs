//! No file of a data-plane identity makes the parser panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|content: &[u8]| azure_kms_provider::fuzzing::data_plane_identity(content));
