//! What is recognised as our own ciphertext is what we would write.
#![no_main]

libfuzzer_sys::fuzz_target!(|content: &[u8]| azure_kms_provider::fuzzing::ciphertext(content));
