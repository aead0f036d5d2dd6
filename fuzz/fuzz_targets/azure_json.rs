//! No `azure.json` makes the parser panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|content: &[u8]| azure_kms_provider::fuzzing::azure_json(content));
