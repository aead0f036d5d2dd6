//! The file of a data-plane identity never makes the reader panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|content: &[u8]| azure_kms_provider::fuzzing::data_plane_identity(content));
