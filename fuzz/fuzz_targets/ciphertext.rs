//! A ciphertext that is decoded as text encodes to the same bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|content: &[u8]| azure_kms_provider::fuzzing::ciphertext(content));
